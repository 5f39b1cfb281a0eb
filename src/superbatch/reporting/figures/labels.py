"""Names of lines at the lines' ends, none of which touch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from superbatch.reporting.figures.canvas import SMALL
from superbatch.reporting.theme import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LONG = 13  # characters of a name that a phone has room for in one line
LINE = 1.4  # times its size: how high a line of text stands


class End(NamedTuple):
    """Where a line ends, what it is called, and its colour."""

    label: str
    x: float
    y: float
    color: str


def end_labels(ax: Axes, ends: Sequence[End], theme: Theme, room: float) -> None:
    """Write each line's name to the right of the axes, at its end's height or as near as there is room, with a hair from the end.

    The axes' limits must be set; the upper one rises where the names need it. A line that has no end, whose height is NaN, has no name.

    Args:
        room: the axes' height, about, in points.
    """
    ends = [end for end in ends if np.isfinite(end.y)]
    if not ends:
        return
    labels = [end.label for end in ends]
    short = [_broken(name) if theme.narrow and len(name) > LONG else name for name in shown_names(labels)]
    names = dict(zip(labels, short, strict=True))
    low, high = ax.get_ylim()
    lines = max(1 + name.count("\n") for name in names.values())
    apart = LINE * SMALL * lines / room * (high - low)
    heights = spread_out(np.array([end.y for end in ends]), apart)
    order = np.argsort(heights, kind="stable")
    heights[order] = np.maximum(heights[order], low + apart * (0.5 + np.arange(len(ends))))
    ax.set_ylim(low, max(high, float(heights.max()) + apart / 2))
    for end, height in zip(ends, heights, strict=True):
        ax.annotate(
            names[end.label],
            (end.x, end.y),
            (1.02, height),
            textcoords=ax.get_yaxis_transform(),
            color=end.color,
            fontsize=SMALL,
            va="center",
            linespacing=1.1,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": end.color,
                "lw": 0.6,
                "ls": ":",
                "shrinkA": 1,
                "shrinkB": 2,
                "relpos": (0, 0.5),
            },
        )


def shown_names(labels: Sequence[str]) -> list[str]:
    """Labels without their filtering ratio where the method alone tells them apart."""
    methods = [label.split(" (f = ")[0] for label in labels]
    return [m if methods.count(m) == 1 else label for m, label in zip(methods, labels, strict=True)]


def _broken(name: str) -> str:
    """Break a name into two lines of similar length; return it whole if there is no place to break."""
    places = [place + (char == "_") for place, char in enumerate(name) if char in "_ " and place]
    if not places:
        return name
    best = min(places, key=lambda place: abs(place - len(name) / 2))
    return f"{name[:best].rstrip()}\n{name[best:].lstrip()}"


def spread_out(heights: np.ndarray, apart: float) -> np.ndarray:
    """Move heights as little as needed for neighbours to be `apart`, in their order: each group that touches stays around its mean.

    Least squares under an order is isotonic regression, here by pooling neighbours (Ayer et al., 1955).
    """
    order = np.argsort(heights, kind="stable")
    wanted = heights[order] - apart * np.arange(len(heights))
    pools: list[tuple[float, int]] = []
    for value in wanted:
        pools.append((float(value), 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (upper, n), (lower, m) = pools.pop(), pools.pop()
            pools.append(((upper * n + lower * m) / (n + m), n + m))
    found = np.empty(len(heights))
    found[order] = np.repeat(*map(np.array, zip(*pools, strict=True))) + apart * np.arange(len(heights))
    return found
