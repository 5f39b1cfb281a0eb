"""A report of runs that were trained on images alone: nothing on it is empty, or about captions, a reference or selection."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import synthetic

from superbatch.reporting import Report, Sources, find_runs
from superbatch.reporting.page import render
from superbatch.reporting.summary import console_text
from superbatch.reporting.tiles import tiles
from superbatch.reporting.trust import checks
from superbatch.reporting.verdict import verdict


def write_image_run(root: Path, method: str, probe: float, **settings: object) -> None:
    """Write a run as MoCLR leaves one: measured at its end, by what is learned on its embeddings."""
    run = synthetic.write_run(root, method, **settings)
    (run / "training" / "evaluations.parquet").unlink()
    (run / "evaluation" / "retrieval.json").unlink()
    metrics = {"linear_probe": probe, "knn": probe / 2}
    confidence = {name: [value - 0.02, value + 0.02] for name, value in metrics.items()}
    about = {"split": "test", "num_images": 500, "num_classes": 20, "data": "same", "metrics": metrics}
    (run / "evaluation" / "classification.json").write_text(json.dumps({**about, "confidence": confidence}))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """One of MoCLR, and a student of Divide and Contrast."""
    write_image_run(tmp_path / "runs", "moclr", 0.3, moclr={"momentum": 0.99})
    write_image_run(tmp_path / "runs", "dnc", 0.34, student={"experts": 3})
    synthetic.write_set(tmp_path, rows=600)
    return tmp_path / "runs"


def report_on(runs: Path, main: str) -> Report:
    """With a set whose kinds of pairs are known, as those of simweb are."""
    known = {"manifest": runs.parent / "pool", "truth": runs.parent / "truth.parquet"}
    return Report(Sources(find_runs(runs), main=main, metric="classification/linear_probe", **known))


def words_of(page: str) -> str:
    body = page[page.index("<body") :]
    return re.sub(r"<[^>]+>", " ", re.sub(r"<(style|svg|script|pre)\b.*?</\1>", "", body, flags=re.DOTALL))


def test_nothing_is_empty_or_of_pairs(runs: Path) -> None:
    report = report_on(runs, "dnc-f0-T200-s0")
    page = render(report)
    assert 'href="#picked"' not in page and 'id="picked"' not in page
    said = words_of(page).partition("Brackets after a value")[0]  # what stands below every table
    for word in ("caption", "mismatched", "The reference", "uniform", "R@1", "there is no curve", "Nothing to compare"):
        assert word not in said, word
    assert [check.question for check in checks(report)] == ["Would another seed say the same?"]
    assert len(tiles(report)) == 1
    assert "uniform" not in console_text(report)


def test_it_is_held_against_another_of_its_kind(runs: Path) -> None:
    found = verdict(report_on(runs, "dnc-f0-T200-s0"))
    assert found.chip == "provisional" and "uniform" not in found.subject
    (next(runs.glob("moclr*")) / "evaluation" / "classification.json").unlink()
    found = verdict(report_on(runs, "dnc-f0-T200-s0"))
    assert (found.chip, found.why) == ("no comparison", "There is no other run of as many steps to compare with.")


def test_a_uniform_run_beside_it_is_compared_with(runs: Path) -> None:
    write_image_run(runs, "uniform", 0.2)
    report = report_on(runs, "moclr-f0-T200-s0")
    assert verdict(report).subject.startswith("moclr against uniform") and len(tiles(report)) == 3
    assert "after 200 steps" in console_text(report).lower()
