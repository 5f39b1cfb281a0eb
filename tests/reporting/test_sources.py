from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import write_run

from superbatch.errors import UserError
from superbatch.reporting import Report, Sources, find_runs
from superbatch.reporting.findings import at_equal_steps


def test_the_report_finds_its_main_run(report: Report) -> None:
    assert report.main.name == "jest-f0.8-T400-s0"
    named = Report(Sources(report.sources.runs, main="uniform-f0-T800-s1"))
    assert named.main.method == "uniform" and at_equal_steps(named, "uniform") is None
    with pytest.raises(UserError, match="no run is called 'other'"):
        _ = Report(Sources(report.sources.runs, main="other")).main
    with pytest.raises(UserError, match="no run was found"):
        Report(Sources([]))


def test_runs_on_classes_are_not_held_against_those_on_pairs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Two kinds of uniform runs are two data sets: their mean would be nobody's."""
    caplog.set_level("INFO")
    labels = {"labels": {"classnames": "0" * 16, "by": "cls", "smoothing": 0.1}}
    for method in ("uniform", "jest"):
        write_run(tmp_path, method)
    write_run(tmp_path, "uniform", name="classify", **labels)
    write_run(tmp_path, "independent", name="classact", **labels)
    runs = find_runs(tmp_path)
    report = Report(Sources(runs, main="jest-f0.8-T200-s0"))
    assert [run.name for run in report.sources.runs] == ["jest-f0.8-T200-s0", "uniform-f0-T200-s0"]
    assert caplog.messages[-1] == "report: on runs that train on image-text pairs; 2 on classes are left out"
    assert {run.name for run in Report(Sources(runs, main="classact")).sources.runs} == {"classact", "classify"}
