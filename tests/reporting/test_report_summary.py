from __future__ import annotations

from superbatch.reporting import Report
from superbatch.reporting.summary import console_text, metrics


def test_metrics_are_finite_numbers_under_known_names(report: Report) -> None:
    found = metrics(report)
    assert found["steps_to_target.jest"] >= 2 and found["gain_at_equal_steps"] > 0
    assert found["picks.clean_share"] > 0.4 and all(isinstance(v, float) for v in found.values())


def test_console_text(report: Report) -> None:
    text = console_text(report)
    assert text.startswith("method") and "points [" in text and "ends below uniform" in text
    assert max(map(len, text.splitlines()[:5])) <= 130
