"""A report's figures as pictures of its page."""

from __future__ import annotations

from superbatch.reporting.figures import picture
from superbatch.reporting.parts import Picture
from superbatch.reporting.report import Report
from superbatch.reporting.report_figures import page_figures
from superbatch.reporting.theme import HEAD, PAGE


def pictures_of(report: Report) -> dict[str, Picture]:
    """Draw all figures of the page, by name."""
    drawings = page_figures(report).items()
    return {name: picture(draw, name, HEAD if name == "head" else PAGE) for name, draw in drawings}
