from __future__ import annotations

import pytest

from superbatch.errors import UserError
from superbatch.reporting import Report, Sources
from superbatch.reporting.findings import at_equal_steps


def test_the_report_finds_its_main_run(report: Report) -> None:
    assert report.main.name == "jest-f0.8-T400-s0"
    named = Report(Sources(report.sources.runs, main="uniform-f0-T800-s1"))
    assert named.main.method == "uniform" and at_equal_steps(named, "uniform") is None
    with pytest.raises(UserError, match="no run is called 'other'"):
        _ = Report(Sources(report.sources.runs, main="other")).main
    with pytest.raises(UserError, match="no run was found"):
        Report(Sources([]))
