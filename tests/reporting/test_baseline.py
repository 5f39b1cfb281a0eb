"""Uniform runs of another batch size set no target together with others: one uniform method is what all are measured against."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from synthetic import LEVEL, finals, write_reference, write_run

from superbatch.reporting import Report, Sources, find_runs
from superbatch.reporting.baseline import uniform_of
from superbatch.reporting.comparison import compare
from superbatch.reporting.cost import uniform_beside
from superbatch.reporting.findings import at_equal_steps
from superbatch.reporting.lines import lines_of
from superbatch.reporting.report_figures import page_figures
from superbatch.reporting.tables import final_table
from superbatch.reporting.theme import LIGHT
from superbatch.reporting.trust import checks
from superbatch.reporting.weak_reference import reference_standing

PLAIN = finals({"uniform": {400: [0.40, 0.42], 800: [0.41, 0.42]}, "jest": {400: [0.5, 0.52]}})
LARGE = finals({"uniform_b160": {400: [0.60, 0.62]}}).assign(role="uniform", f=0.0)
BOTH = pd.concat([PLAIN.assign(alike=True), LARGE.assign(alike=False)], ignore_index=True)


def test_one_uniform_method_sets_the_target_and_the_difference() -> None:
    made = compare(BOTH)
    assert made.uniform[0].horizon == compare(PLAIN).uniform[0].horizon
    table = final_table(BOTH, made).set_index("method")
    assert table.loc["jest", "vs uniform"] == pytest.approx(0.1)


def test_runs_that_are_alike_come_first_and_else_validation_decides() -> None:
    assert set(uniform_of(BOTH)["method"]) == {"uniform"}
    for frame in (BOTH.drop(columns="alike"), BOTH.assign(alike=False)):
        assert set(uniform_of(frame)["method"]) == {"uniform_b160"}
    assert len(uniform_of(LARGE.assign(alike=False))) == 2, "the only one there is"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """jest and uniform at b = 16 and at b = 8; one seed of uniform at b = 64 too, which is the best of all uniform ones."""
    monkeypatch.setitem(LEVEL, "uniform_b8", 0.5)
    monkeypatch.setitem(LEVEL, "uniform_b64", 4.0)
    write_reference(tmp_path, 0.08)
    for method, b in (("uniform", 16), ("jest", 16), ("uniform_b8", 8), ("uniform_b64", 64)):
        for seed in range(1 if b == 64 else 2):
            write_run(tmp_path, method, 200, seed, b=b, noise=0.001)
    for seed in range(2):
        write_run(tmp_path, "jest", 200, seed, b=8, name=f"jest_b8-f0.8-T200-s{seed}")
    return tmp_path


@pytest.mark.parametrize(("main", "rival"), [("jest-f0.8-T200-s0", "uniform"), ("jest_b8-f0.8-T200-s0", "uniform_b8")])
def test_a_report_measures_against_uniform_of_the_main_runs_batch_size(runs: Path, main: str, rival: str) -> None:
    report = Report(Sources(find_runs(runs), main=main))
    beside, uniform, alone = (
        at_equal_steps(report, "uniform"),
        uniform_beside(report),
        reference_standing(report.finals),
    )
    assert beside is not None and uniform is not None and alone is not None
    assert beside.rival == rival and uniform.name == f"{rival}-f0-T200-s0"
    own = report.finals.loc[report.finals["method"] == rival, "value"].mean()
    assert beside.other == alone.uniform.target == report.comparison.uniform[0].horizon.target == pytest.approx(own)
    assert lines_of(report)[1] == rival
    assert any(check.words.startswith("At least 2 seeds") for check in checks(report))


def test_the_chart_marks_the_end_of_that_uniform(runs: Path) -> None:
    report = Report(Sources(find_runs(runs), main="jest-f0.8-T200-s0"))
    curve = report.long_curves[report.long_curves["method"] == "uniform"].sort_values("step")
    (ax, *_) = page_figures(report)["head"](LIGHT).axes
    level = [line.get_ydata()[0] for line in ax.lines if len(set(line.get_ydata())) == 1 and len(line.get_ydata()) == 2]
    assert level == [pytest.approx(100 * curve["value"].iloc[-1])]


def test_without_uniform_of_that_batch_size_one_of_another_stands_in(runs: Path) -> None:
    write_run(runs, "jest", 200, 0, b=32, name="jest_b32-f0.8-T200-s0")
    report = Report(Sources(find_runs(runs), main="jest_b32-f0.8-T200-s0"))
    assert {outcome.horizon.label for outcome in report.comparison.uniform} == {"uniform_b64"}
