from __future__ import annotations

from superbatch.reporting.theme import DARK, LIGHT, in_variables, styles, stylesheet


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


def test_a_drawing_takes_its_colours_from_the_page() -> None:
    for theme in (LIGHT, DARK):
        assert len(set(theme.variables.values())) == len(theme.variables), "a colour would stand for two"
    assert (
        in_variables(f"fill: {LIGHT.text}; stroke: {LIGHT.selecting[1]}; #123456")
        == "fill: var(--text); stroke: var(--selecting-1); #123456"
    )
    light, dark = stylesheet().split("@media screen")
    assert f"--selecting-1: {LIGHT.selecting[1]};" in light and f"--selecting-1: {DARK.selecting[1]};" in dark
