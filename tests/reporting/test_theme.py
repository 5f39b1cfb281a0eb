from __future__ import annotations

from superbatch.reporting.theme import DARK, LIGHT, styles


def test_methods_keep_distinct_lines() -> None:
    entries = [
        ("jest (f = 0.8)", "selecting"),
        ("flexi_jest (f = 0.8)", "selecting"),
        ("filtered", "simple"),
        ("warm_start", "simple"),
        ("uniform", "uniform"),
    ]
    for theme in (LIGHT, DARK):
        found = styles(entries, theme)
        assert list(found)[0] == "uniform" and len({(s.color, s.line) for s in found.values()}) == len(entries)
