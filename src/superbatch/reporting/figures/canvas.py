"""The ground of every figure: its size, axes, ticks and legend, in a theme's ink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from superbatch.reporting.theme import LIGHT, Style, Theme, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 9.2  # inches; the page shows figures at about this size


def new_figure(theme: Theme, rows: int = 1, columns: int = 1, height: float = 3.5) -> tuple[Figure, list[Axes]]:
    """A figure of rows x columns axes, `height` inches high in all; the axes come row by row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor=theme.face)
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for ax in axes:
        _dress(ax, theme)
    return figure, axes


def sentence_figure(sentence: str, theme: Theme = LIGHT) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure, axes = new_figure(theme, height=1.0)
    axes[0].axis("off")
    axes[0].text(0.5, 0.5, sentence, ha="center", va="center", color=theme.muted, fontsize=10, wrap=True)
    return figure


def _dress(ax: Any, theme: Theme) -> None:
    ax.set_facecolor("none")
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(theme.grid)
    ax.tick_params(colors=theme.muted, length=3, labelsize=9)
    ax.xaxis.label.set_color(theme.muted)
    ax.yaxis.label.set_color(theme.muted)
    ax.grid(color=theme.grid, lw=0.7)
    ax.set_axisbelow(True)
    for text in (ax.xaxis.get_offset_text(), ax.yaxis.get_offset_text()):
        text.set_color(theme.muted)
        text.set_fontsize(8)


def legend(ax: Axes, theme: Theme, size: float = 9, outside: bool = False) -> None:
    """A legend of whatever has a label: in a free corner, or to the right of the axes."""
    if ax.get_legend_handles_labels()[0]:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if outside else {"loc": "best"}
        ax.legend(frameon=False, labelcolor=theme.text, fontsize=size, **place)


def line_styles(frame: pd.DataFrame, theme: Theme) -> dict[str, Style]:
    """How each `label` of a frame is drawn, by its `role` (`theme.styles`)."""
    return styles(zip(frame["label"], frame["role"], strict=True), theme)


def step_axis(ax: Axes) -> None:
    """Steps along the bottom, in small print."""
    ax.set_xlabel("steps", fontsize=8.5)
    ax.xaxis.set_major_formatter(thousands)
    ax.tick_params(labelsize=8)


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
