"""A report's figures as pictures of its page, for light and for dark, with what is said about each."""

from __future__ import annotations

from superbatch.reporting import html
from superbatch.reporting.figures import svg_uri
from superbatch.reporting.html import Pictures
from superbatch.reporting.report import Report
from superbatch.reporting.report_figures import page_figures
from superbatch.reporting.texts import ALT, CAPTION
from superbatch.reporting.theme import DARK, LIGHT


def pictures_of(report: Report) -> Pictures:
    """Draw all figures of the page: data URIs for light and for dark, by the figure's name."""
    light, dark = page_figures(report, LIGHT), page_figures(report, DARK)
    return {name: (svg_uri(light[name]), svg_uri(dark[name])) for name in light}


def plot(pictures: Pictures, name: str, otherwise: str = "") -> str:
    """One figure with its caption; the sentence `otherwise` where there is none to show."""
    return html.picture(pictures, name, ALT[name], CAPTION[name], otherwise)
