"""A second reference beside the first: each run is held against its own, and the rounds that led to it are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import synthetic

from superbatch.reporting import Report, Sources, find_runs
from superbatch.reporting.findings import gains
from superbatch.reporting.page import render
from superbatch.reporting.sections.reference import reference
from superbatch.reporting.trust import cautions

CHOSEN = {"curated": 700, "chosen": 4_000, "recaptioned": 25}


def told(*validation: float, kept: int = 1) -> dict[str, Any]:
    cost = {"flops_training": 2e12, "seconds_training": 70.4}
    rounds = [
        {"validation": value, **cost, **({} if not number else CHOSEN)} for number, value in enumerate(validation)
    ]
    return {"metric": "headline", "kept": kept, "rounds": rounds}


def write_trained(root: Path, name: str, top1: float, weights: str, verdict: str) -> Path:
    """Write a reference with the record of its training and its check."""
    made = synthetic.write_reference(root, top1).rename(root / name)
    (made / "training").mkdir()
    record = {
        "run": name,
        "method": "uniform",
        "status": "finished",
        "digests": {"weights": weights},
        "plan": {"steps": 9},
    }
    (made / "training" / "run.json").write_text(json.dumps(record))
    synthetic.write_check(made, verdict, weights)
    return made


def report_of(root: Path, used: str, rounds: dict[str, Any]) -> Report:
    """Jest by one of two references, of which the second is far better."""
    synthetic.write_run(root, "uniform", 400, 0, rows=200, noise=0.001)
    synthetic.write_run(root, "jest", 400, 0, rows=200, noise=0.001, reference=used)
    second = write_trained(root, "reference_pp", 0.5, "theirs", "helps")
    (second / "training" / "rounds.json").write_text(json.dumps(rounds))
    write_trained(root, "reference", 0.05, "mine", "would_harm")
    return Report(Sources(find_runs(root)))


def test_a_run_is_held_against_its_own_reference(tmp_path: Path) -> None:
    ours, theirs = (report_of(tmp_path / used, used, told(0.1, 0.2)) for used in ("mine", "theirs"))
    assert ours.reference is not None and ours.reference.name == "reference"
    assert theirs.reference is not None and theirs.reference.name == "reference_pp"
    assert [report.reference_check["verdict"] for report in (ours, theirs)] == ["would_harm", "helps"]  # type: ignore[index]
    assert any("FAR below uniform: 5.0 %" in line for line in cautions(ours))
    assert any("above uniform" in line and "50.0 % against" in line for line in cautions(theirs))
    for report in (ours, theirs):
        assert not any("another reference" in line for line in cautions(report)), "both are shown"
        assert set(report.table.loc[report.table["role"] == "reference", "method"]) == {"reference", "reference_pp"}
        assert report.comparison.uniform, "no reference is taken for a uniform run"


def test_the_rounds_are_told_where_the_run_used_what_they_led_to(tmp_path: Path) -> None:
    report = report_of(tmp_path / "a", "theirs", told(0.1, 0.2, 0.15))
    line = (
        "The reference was bootstrapped in 2 rounds, round 1 is kept (4,025 pairs joined 700): "
        "from 10.0 to 20.0 % on validation (mean over the sets)."
    )
    assert line in gains(report)
    rows = reference(report).rounds.rows
    assert [row[:4] for row in rows] == [
        ("0", "10.0", "–", "–"), ("1 (kept)", "20.0", "4,000", "25"), ("2", "15.0", "4,000", "25"),
    ]  # fmt: skip
    assert rows[0][4:] == ("2e+12", "70")
    page = render(report)
    assert "bootstrapped in 2 rounds" in page and "1 (kept)" in page
    other = report_of(tmp_path / "b", "mine", told(0.1, 0.2))
    assert other.rounds is None and "bootstrapped" not in render(other)


@pytest.mark.parametrize("value", [0.1, 0.05])
def test_a_round_that_did_not_help_is_called_so(tmp_path: Path, value: float) -> None:
    report = report_of(tmp_path, "theirs", told(0.1, value))
    assert any(
        line.startswith("The reference was bootstrapped in 1 round,") and line.endswith("no better than the first.")
        for line in gains(report)
    )
