"""Colours of figures on light and on dark ground, and how methods and kinds keep theirs throughout a report."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """Ground and ink of a figure."""

    name: str
    face: str
    text: str
    muted: str
    grid: str
    selecting: tuple[str, ...]
    simple: tuple[str, ...]

    @property
    def colors(self) -> tuple[str, ...]:
        """All of them, each once, in an order that themes share."""
        return (self.face, self.text, self.muted, self.grid, *self.selecting, *self.simple)


# Hues after Okabe and Ito (2008), told apart with the common colour blindnesses; darkened or lightened for contrast.
LIGHT = Theme(
    "light",
    "#ffffff",
    "#1b1f24",
    "#5d6773",
    "#dde2e8",
    selecting=("#0b62c4", "#8b2fa0", "#00796b", "#b5174f"),
    simple=("#c26a00", "#8a6d00", "#a3452e", "#5f7a12"),
)
DARK = Theme(
    "dark",
    "#171b21",
    "#e8ebef",
    "#9aa5b1",
    "#343b45",
    selecting=("#5ea9ff", "#d18be6", "#3fc7b4", "#ff7da3"),
    simple=("#f5a742", "#d9c04a", "#f08a70", "#a9c95a"),
)


_DARK_OF = dict(zip(LIGHT.colors, DARK.colors, strict=True))


def in_dark(drawing: str) -> str:
    """Return a light drawing (text, such as SVG) in the dark theme's colours: what drawing it anew would give, for none of its time."""
    return re.sub("#[0-9a-f]{6}", lambda color: _DARK_OF.get(color[0], color[0]), drawing)


ORDER = ("uniform", "simple", "selecting", "reference")


@dataclass(frozen=True)
class Style:
    """How one method is drawn."""

    color: str
    line: str
    width: float
    marker: str


MARKERS = {"selecting": "o^vP*", "simple": "sXd"}  # another one where colours begin anew


def styles(entries: Iterable[tuple[str, str]], theme: Theme) -> dict[str, Style]:
    """Give each (label, role) its line: solid colours for methods that select, dashes for simple ones, ink for uniform.

    The result's order is that of legends: uniform, simple alternatives, methods that select (jest first).
    """
    found: dict[str, Style] = {}
    counts = {"selecting": 0, "simple": 0}
    for label, role in sorted(set(entries), key=lambda e: (ORDER.index(e[1]), not e[0].startswith("jest"), e[0])):
        if role in counts:
            colors = theme.selecting if role == "selecting" else theme.simple
            again, place = divmod(counts[role], len(colors))
            color, marker = colors[place], MARKERS[role][again % len(MARKERS[role])]
            counts[role] += 1
            found[label] = Style(
                color,
                "-" if role == "selecting" else "--",
                2.2 if role == "selecting" else 1.6,
                marker,
            )
        else:
            found[label] = Style(
                theme.text if role == "uniform" else theme.muted, "-" if role == "uniform" else ":", 1.8, "D"
            )
    return found
