"""The one palette of pages and figures, on light and on dark ground, and how methods and kinds keep their colours throughout a report."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Theme:
    """How pages and figures look: their colours, and how wide a figure is.

    Attributes:
        ground, face: behind the page and behind its cards. text, muted, grid: ink, quiet ink, fine lines.
        selecting, simple: for methods that select and for those that don't. warn: behind what is open.
        width: of a figure, in inches; in a page one of 1/72 inch is one CSS pixel where the figure is shown at its own size.
        narrow: whether panels stand below each other.
    """

    name: str
    ground: str
    face: str
    text: str
    muted: str
    grid: str
    warn: str
    selecting: tuple[str, ...]
    simple: tuple[str, ...]
    width: float = 9.2
    narrow: bool = False

    @property
    def variables(self) -> dict[str, str]:
        """All colours by the names that they have in stylesheets."""
        named = {"ground": self.ground, "card": self.face, "text": self.text, "muted": self.muted, "line": self.grid}
        groups = {"selecting": self.selecting, "simple": self.simple}
        inks = {f"{name}-{place}": color for name, group in groups.items() for place, color in enumerate(group)}
        return named | {"warn": self.warn} | inks

    @property
    def kinds(self) -> tuple[str, ...]:
        """For areas that lie on each other: neighbours differ in hue; the first is for what is right."""
        (blue, purple, teal, red), (orange, ochre, rust, olive) = self.selecting, self.simple
        return (teal, orange, blue, ochre, purple, olive, red, rust, self.muted)


# Hues after Okabe and Ito (2008), told apart with the common colour blindnesses; darkened or lightened for contrast.
LIGHT = Theme(
    "light",
    ground="#f4f6f8",
    face="#ffffff",
    text="#1b1f24",
    muted="#56606b",
    grid="#dde2e8",
    warn="#fff6e0",
    selecting=("#0b62c4", "#8b2fa0", "#00756a", "#b5174f"),
    simple=("#ab5700", "#7d6300", "#a3452e", "#5f7a12"),
)
DARK = Theme(
    "dark",
    ground="#0e1116",
    face="#171b21",
    text="#e8ebef",
    muted="#a3adb8",
    grid="#343b45",
    warn="#2a2213",
    selecting=("#5ea9ff", "#d18be6", "#3fc7b4", "#ff7da3"),
    simple=("#f5a742", "#d9c04a", "#f08a70", "#a9c95a"),
)

# Figures inside a page: across it, beside the verdict, and on a phone (page.css has the width at which they change places).
PAGE = replace(LIGHT, name="page", width=800 / 72)
HEAD = replace(LIGHT, name="head", width=540 / 72)
PHONE = replace(LIGHT, name="phone", width=312 / 72, narrow=True)

_VARIABLE_OF = {color: name for name, color in LIGHT.variables.items()}


def stylesheet() -> str:
    """The palette as CSS variables: light, and dark on screens of readers who ask for it."""
    light, dark = (" ".join(f"--{name}: {color};" for name, color in t.variables.items()) for t in (LIGHT, DARK))
    screen = "@media screen and (prefers-color-scheme: dark)"
    return f":root {{ color-scheme: light dark; {light} }}\n{screen} {{ :root {{ {dark} }} }}"


def in_variables(drawing: str) -> str:
    """Return a light drawing (text, such as SVG) whose colours are the palette's variables, so that it follows the page's."""
    return re.sub(
        "#[0-9a-f]{6}", lambda color: f"var(--{found})" if (found := _VARIABLE_OF.get(color[0])) else color[0], drawing
    )


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
