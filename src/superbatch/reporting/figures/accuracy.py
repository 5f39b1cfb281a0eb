"""Accuracy along runs, against any cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from superbatch.reporting.accounts import ACCOUNTINGS
from superbatch.reporting.curves import AXES, first_crossing
from superbatch.reporting.figures.canvas import (
    SMALL,
    few_ticks,
    heading,
    line_styles,
    new_figure,
    room_of,
    short,
    thousands,
)
from superbatch.reporting.figures.labels import End, end_labels
from superbatch.reporting.theme import LIGHT, Style, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOP = 1.08  # of the highest value: where the axis ends


def accuracy_figure(
    points: pd.DataFrame,
    axis: str = "step",
    theme: Theme = LIGHT,
    title: str = "top-1",
    main: str = "",
    height: float = 3.9,
    uniform: str = "uniform",
) -> Figure:
    """Accuracy along runs against one cost; the range over seeds as a band.

    Args:
        points: `mean_curves`. axis: a key of `curves.AXES`. title: the metric's.
        main: label of a method that is marked where it first reaches uniform's final value; none if empty. uniform: the method whose value that is.
    """
    figure, axes = new_figure(theme, height=height)
    ax = axes[0]
    drawn = line_styles(points, theme)
    _draw_curves(ax, points, axis, drawn)
    ax.set_xlabel(AXES[axis])
    few_ticks(ax, theme)
    heading(ax, f"{title} %, validation", theme)
    if main:
        _mark_crossing(ax, points[points["method"] == uniform], points[points["label"] == main], axis, theme)
    end_labels(ax, _ends(points, axis, drawn), theme, room_of(figure))
    return figure


def flops_figure(points: pd.DataFrame, theme: Theme = LIGHT, title: str = "top-1") -> Figure:
    """Accuracy along runs against FLOPs in the three accountings."""
    figure, axes = new_figure(theme, columns=3, height=3.4)
    drawn = line_styles(points, theme)
    for ax, axis in zip(axes, ACCOUNTINGS, strict=True):
        _draw_curves(ax, points, axis, drawn)
        heading(ax, AXES[axis].replace("FLOPs, ", "FLOPs,\n"), theme)
    axes[0].set_ylabel(f"{title} %, validation")
    end_labels(axes[-1], _ends(points, ACCOUNTINGS[-1], drawn), theme, room_of(figure))
    return figure


def _draw_curves(ax: Axes, points: pd.DataFrame, axis: str, drawn: dict[str, Style]) -> None:
    for label, style in drawn.items():
        group = points[points["label"] == label].sort_values(axis)
        ax.plot(group[axis], 100 * group["value"], color=style.color, ls=style.line, lw=style.width)
        if (group["seeds"] > 1).any():
            ax.fill_between(group[axis], 100 * group["low"], 100 * group["high"], color=style.color, alpha=0.15, lw=0)
    ax.set_ylim(0, TOP * 100 * max(0.01, float(points["high"].max())))
    ax.set_xlim(left=0)
    ax.xaxis.set_major_formatter(thousands if axis in ("step", "seconds") else short)


def _ends(points: pd.DataFrame, axis: str, drawn: dict[str, Style]) -> list[End]:
    lasts = {label: points[points["label"] == label].sort_values(axis).iloc[-1] for label in drawn}
    return [
        End(label, float(last[axis]), 100 * float(last["value"]), drawn[label].color) for label, last in lasts.items()
    ]


def _mark_crossing(ax: Axes, uniform: pd.DataFrame, own: pd.DataFrame, axis: str, theme: Theme) -> None:
    """Draw uniform's final value as the target, and an arrow to where the main method first stands there."""
    if uniform.empty or own.empty:
        return
    target = float(uniform.sort_values(axis)["value"].iloc[-1])
    ax.axhline(100 * target, color=theme.muted, lw=1, ls=(0, (1, 2)))
    where = first_crossing(own, target, axis)
    if where:
        mark(ax, where, 100 * target, "reaches uniform's final value", theme)


def mark(ax: Axes, x: float, y: float, words: str, theme: Theme) -> None:
    """Point at a place on the target's line, from above and to the left, where lines that rise leave room."""
    ax.plot([x], [y], color=theme.text, ls="", marker="o", ms=7, mfc="none", mew=1.4)
    ax.annotate(
        words,
        (x, y),
        (0.03, 0.97),
        textcoords="axes fraction",
        color=theme.text,
        fontsize=SMALL,
        va="top",
        arrowprops={
            "arrowstyle": "->",
            "color": theme.text,
            "lw": 1,
            "shrinkB": 6,
            "relpos": (0.2, 0),
            "connectionstyle": "arc3,rad=0.1",
        },
    )
