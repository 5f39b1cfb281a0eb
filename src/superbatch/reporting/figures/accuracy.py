"""Accuracy along runs, against any cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from superbatch.reporting.accounts import ACCOUNTINGS
from superbatch.reporting.curves import AXES
from superbatch.reporting.figures.canvas import legend, line_styles, new_figure, short, thousands
from superbatch.reporting.theme import LIGHT, Style, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CORNER = 6  # methods whose names still find room in a corner of a plot


def accuracy_figure(points: pd.DataFrame, axis: str = "step", theme: Theme = LIGHT, title: str = "top-1") -> Figure:
    """Accuracy along runs against one cost; the range over seeds as a band.

    Args:
        points: `mean_curves`. axis: a key of `curves.AXES`. title: the metric's.
    """
    figure, axes = new_figure(theme, height=3.9)
    ax = axes[0]
    _draw_curves(ax, points, axis, line_styles(points, theme))
    ax.set_xlabel(AXES[axis])
    ax.set_ylabel(f"{title} %, validation")
    legend(ax, theme, outside=points["label"].nunique() > CORNER)
    return figure


def flops_figure(points: pd.DataFrame, theme: Theme = LIGHT, title: str = "top-1") -> Figure:
    """Accuracy along runs against FLOPs in the three accountings."""
    figure, axes = new_figure(theme, columns=3, height=3.2)
    _draw_panels(axes, points, list(ACCOUNTINGS), theme)
    axes[0].set_ylabel(f"{title} %, validation", fontsize=8.5)
    legend(axes[0], theme, size=8)
    return figure


def cost_figure(points: pd.DataFrame, theme: Theme = LIGHT, title: str = "top-1") -> Figure:
    """Accuracy along runs against samples, FLOPs in three accountings, and seconds."""
    figure, axes = new_figure(theme, rows=2, columns=3, height=5.2)
    _draw_panels(axes, points, [axis for axis in AXES if axis != "step"], theme)
    handles, labels = axes[0].get_legend_handles_labels()
    axes[5].axis("off")
    axes[5].legend(handles, labels, loc="center left", frameon=False, labelcolor=theme.text, fontsize=8.5)
    for ax in (axes[0], axes[3]):
        ax.set_ylabel(f"{title} %, validation", fontsize=8.5)
    return figure


def _draw_panels(axes: list[Axes], points: pd.DataFrame, names: list[str], theme: Theme) -> None:
    drawn = line_styles(points, theme)
    for ax, axis in zip(axes, names, strict=False):
        _draw_curves(ax, points, axis, drawn)
        ax.set_title(AXES[axis], color=theme.text, fontsize=9, loc="left")
        ax.tick_params(labelsize=8)


def _draw_curves(ax: Axes, points: pd.DataFrame, axis: str, drawn: dict[str, Style]) -> None:
    for label, style in drawn.items():
        group = points[points["label"] == label].sort_values(axis)
        ax.plot(group[axis], 100 * group["value"], color=style.color, ls=style.line, lw=style.width, label=label)
        if (group["seeds"] > 1).any():
            ax.fill_between(group[axis], 100 * group["low"], 100 * group["high"], color=style.color, alpha=0.15, lw=0)
    ax.xaxis.set_major_formatter(thousands)
    if axis not in ("step", "seconds"):
        ax.xaxis.set_major_formatter(short)
