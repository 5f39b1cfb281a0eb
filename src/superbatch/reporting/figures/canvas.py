"""The ground of every figure: its size, axes, ticks and legend, in a theme's ink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from superbatch.reporting.theme import LIGHT, Style, Theme, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALL = 10.6  # points: ticks, legends and names of lines. A page shows a figure at its own size or larger
TEXT = 11.0  # points: titles and names of axes
TIGHT = 0.82  # of a panel's height, on a phone
TICKS = 4  # along the bottom of a narrow panel, at most


def new_figure(
    theme: Theme, rows: int = 1, columns: int = 1, height: float = 3.5, panels: int | None = None
) -> tuple[Figure, list[Axes]]:
    """A figure of rows x columns axes, `height` inches high in all; the axes come row by row.

    A narrow theme has them below each other, or in pairs where there are more than three columns.

    Args:
        panels: how many of the axes are used; the others are left out.
    """
    from matplotlib.figure import Figure

    used = rows * columns if panels is None else panels
    if theme.narrow:
        across = 2 if columns > 3 else 1
        down = -(-used // across)
        height = max(1.0, TIGHT * height * down / rows)
        rows, columns = down, across
    figure = Figure(figsize=(theme.width, height), layout="constrained", facecolor=theme.face)
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for ax in axes[:used]:
        dress(ax, theme)
    for ax in axes[used:]:
        ax.axis("off")
    return figure, axes[:used]


def room_of(figure: Figure, rows: int = 1) -> float:
    """How high each of the rows of axes comes out, about, in points: without titles and ticks."""
    return float(figure.get_figheight() * 72 / rows - 4.5 * SMALL)


def sentence_figure(sentence: str, theme: Theme = LIGHT) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure, axes = new_figure(theme, height=1.0)
    axes[0].axis("off")
    axes[0].text(0.5, 0.5, sentence, ha="center", va="center", color=theme.muted, fontsize=TEXT, wrap=True)
    return figure


def dress(ax: Any, theme: Theme) -> None:
    """Give axes a theme's ink."""
    ax.set_facecolor("none")
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(theme.grid)
    ax.tick_params(colors=theme.muted, length=3, labelsize=SMALL)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_color(theme.muted)
        axis.label.set_fontsize(SMALL)
        axis.get_offset_text().set_color(theme.muted)
        axis.get_offset_text().set_fontsize(SMALL)
    ax.grid(color=theme.grid, lw=0.7)
    ax.set_axisbelow(True)


def heading(ax: Axes, text: str, theme: Theme) -> None:
    """Write what a panel shows above it, to the left."""
    ax.set_title(text, color=theme.text, fontsize=SMALL if theme.narrow else TEXT, loc="left")


def legend(ax: Axes, theme: Theme) -> None:
    """A legend of whatever has a label, in a free corner."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, labelcolor=theme.text, fontsize=SMALL, loc="best")


def legend_above(figure: Figure, theme: Theme, columns: int = 4) -> None:
    """A legend above the axes, of whatever has a label in the first of them; on a phone in two columns at most."""
    handles, names = figure.axes[0].get_legend_handles_labels()
    across = min(2, columns) if theme.narrow else columns
    how = {"frameon": False, "labelcolor": theme.text, "fontsize": SMALL, "borderaxespad": 0.0}
    figure.legend(handles, names, loc="outside upper left", ncols=across, **how)


def line_styles(frame: pd.DataFrame, theme: Theme) -> dict[str, Style]:
    """How each `label` of a frame is drawn, by its `role` (`theme.styles`)."""
    return styles(zip(frame["label"], frame["role"], strict=True), theme)


def few_ticks(ax: Axes, theme: Theme) -> None:
    """Leave only as many ticks at the bottom as a narrow figure has room for."""
    from matplotlib.ticker import MaxNLocator

    if theme.narrow:
        ax.xaxis.set_major_locator(MaxNLocator(TICKS, integer=True))


def step_axis(ax: Axes, theme: Theme) -> None:
    """Steps along the bottom."""
    ax.set_xlabel("steps")
    few_ticks(ax, theme)
    ax.xaxis.set_major_formatter(thousands)


def thousands(value: float, position: float | None = None) -> str:
    """A tick such as 12,000."""
    return f"{value:,.15g}"


def plain(value: float, position: float | None = None) -> str:
    """A tick such as 0.0005, without a power of ten."""
    return f"{value:.6g}"


def short(value: float, position: float | None = None) -> str:
    """A tick such as 2 T or 50 k, instead of a power of ten at the axis' end."""
    power = min(6, max(0, int(np.log10(abs(value)) // 3))) if value else 0
    return f"{value / 1000**power:.3g} {' kMGTPE'[power]}".strip()
