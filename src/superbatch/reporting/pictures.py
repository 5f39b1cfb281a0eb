"""A report's figures as pictures of its page, for light and for dark."""

from __future__ import annotations

from superbatch.reporting.figures import picture
from superbatch.reporting.parts import Picture
from superbatch.reporting.report import Report
from superbatch.reporting.report_figures import page_figures


def pictures_of(report: Report) -> dict[str, Picture]:
    """Draw all figures of the page, by name."""
    return {name: picture(figure) for name, figure in page_figures(report).items()}
