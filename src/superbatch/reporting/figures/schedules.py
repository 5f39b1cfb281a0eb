"""Final accuracy of complete schedules against their length: where each method meets the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from superbatch.reporting.comparison import Comparison
from superbatch.reporting.figures.canvas import legend, line_styles, new_figure
from superbatch.reporting.intervals import mean_interval
from superbatch.reporting.names import label_of
from superbatch.reporting.numbers import percent
from superbatch.reporting.theme import LIGHT, Style, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def schedule_figure(frame: pd.DataFrame, comparison: Comparison, theme: Theme = LIGHT, title: str = "top-1") -> Figure:
    """Final accuracy of complete schedules against their length: where each method meets the target.

    Args:
        frame: `tuning.tuned`. comparison: gives the target and the schedules that reach it.
    """
    figure, axes = new_figure(theme, height=4.2)
    ax = axes[0]
    alone = frame.loc[frame["role"] == "reference", "value"]
    frame = _labelled(frame[frame["role"] != "reference"])
    drawn = line_styles(frame, theme)
    for label, style in drawn.items():
        _draw_schedules(ax, label, frame[frame["label"] == label], style)
    if comparison.uniform:
        _draw_target(ax, comparison, theme)
    if len(alone):
        ax.axhline(100 * alone.mean(), color=theme.muted, lw=1.4, ls=(0, (5, 2)), label="the reference alone")
    ax.set_xscale("log", base=2)
    lengths = sorted(frame["steps"].unique())
    ax.set_xticks(lengths, [f"{n:,}" for n in lengths], rotation=0 if len(lengths) < 10 else 40)
    ax.minorticks_off()
    ax.set_xlabel("steps of a complete schedule")
    ax.set_ylabel(f"final {title} %, {frame['split'].iloc[0]}")
    legend(ax, theme, outside=True)  # a grid of many methods leaves no corner free
    return figure


def _labelled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(label=[label_of(m, f) for m, f in zip(frame["method"], frame["f"], strict=True)])


def _draw_schedules(ax: Axes, label: str, group: pd.DataFrame, style: Style) -> None:
    rows = [
        (int(steps), *mean_interval(cell.groupby("seed")["value"].mean())) for steps, cell in group.groupby("steps")
    ]
    steps, mean, low, high = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    spread = 100 * np.nan_to_num(np.stack([mean - low, high - mean]))
    ax.errorbar(
        steps,
        100 * mean,
        yerr=np.maximum(spread, 0),
        color=style.color,
        ls=style.line,
        lw=style.width,
        marker=style.marker,
        ms=5,
        capsize=2.5,
        label=label,
    )


def _draw_target(ax: Axes, comparison: Comparison, theme: Theme) -> None:
    horizon = comparison.uniform[0].horizon
    ax.axhline(100 * horizon.target, color=theme.muted, lw=1, ls=(0, (1, 2)))
    text = f"target: {horizon.label}'s {percent(horizon.target)} % at T = {horizon.steps:,}"
    ax.annotate(
        text,
        (0.99, 100 * horizon.target),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="top",
        color=theme.muted,
        fontsize=8,
    )
    for outcome in comparison.uniform:
        if outcome.steps is not None and outcome.ratio > 1 and outcome.low > 0:
            where = (outcome.steps, 0.02)
            ax.annotate(
                f"{outcome.ratio:.3g}×",
                where,
                xycoords=("data", "axes fraction"),
                ha="center",
                color=theme.text,
                fontsize=9,
                weight="bold",
            )
