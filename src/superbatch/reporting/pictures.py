"""A report's figures as pictures of its page, for light and for dark."""

from __future__ import annotations

from superbatch.reporting.figures import svg_uri
from superbatch.reporting.parts import Picture
from superbatch.reporting.report import Report
from superbatch.reporting.report_figures import page_figures
from superbatch.reporting.theme import DARK, LIGHT


def pictures_of(report: Report) -> dict[str, Picture]:
    """Draw all figures of the page, by name."""
    light, dark = page_figures(report, LIGHT), page_figures(report, DARK)
    return {name: Picture(svg_uri(light[name]), svg_uri(dark[name])) for name in light}
