"""Final accuracy of complete schedules against their length: where each method meets the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from superbatch.reporting.comparison import Comparison
from superbatch.reporting.figures.accuracy import TOP, mark
from superbatch.reporting.figures.canvas import heading, line_styles, new_figure, room_of
from superbatch.reporting.figures.labels import End, end_labels
from superbatch.reporting.intervals import mean_interval
from superbatch.reporting.names import label_of
from superbatch.reporting.numbers import percent
from superbatch.reporting.targets import ToTarget
from superbatch.reporting.theme import LIGHT, Style, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

APART = 48  # points between two lengths that both have room for their number


def schedule_figure(
    frame: pd.DataFrame,
    comparison: Comparison,
    theme: Theme = LIGHT,
    title: str = "top-1",
    main: str = "",
    height: float = 4.2,
) -> Figure:
    """Final accuracy of complete schedules against their length: where each method meets the target.

    Args:
        frame: `tuning.tuned`. comparison: gives the target and the schedules that reach it.
        main: label of the method that is marked there; without it, the one that needs the fewest steps.
    """
    figure, axes = new_figure(theme, height=height)
    ax = axes[0]
    alone = frame.loc[frame["role"] == "reference", "value"]
    frame = frame.assign(label=[label_of(m, f) for m, f in zip(frame["method"], frame["f"], strict=True)])
    compared = frame[frame["role"] != "reference"]
    ends = [
        _draw_schedules(ax, label, compared[compared["label"] == label], style)
        for label, style in line_styles(compared, theme).items()
    ]
    ax.set_xscale("log", base=2)
    _length_ticks(ax, sorted(compared["steps"].unique()), theme)
    ax.set_ylim(0, TOP * max(ax.get_ylim()[1], 100 * float(alone.mean()) if len(alone) else 0.0))
    if len(alone):
        ax.axhline(100 * alone.mean(), color=theme.muted, lw=1.4, ls=(0, (5, 2)))
        ends.append(End("reference alone", ax.get_xlim()[1], 100 * float(alone.mean()), theme.muted))
    ax.set_xlabel("steps of a complete schedule")
    heading(ax, f"final {title} %, {compared['split'].iloc[0]}", theme)
    if comparison.uniform:
        _draw_target(ax, comparison, theme, main)
    end_labels(ax, ends, theme, room_of(figure))
    return figure


def _draw_schedules(ax: Axes, label: str, group: pd.DataFrame, style: Style) -> End:
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
        elinewidth=1,
    )
    return End(label, float(steps[-1]), float(100 * mean[-1]), style.color)


def _length_ticks(ax: Axes, lengths: list[int], theme: Theme) -> None:
    """Number as many lengths as have room, the longest first."""
    span = np.log2(max(lengths) / min(lengths)) or 1.0
    apart = APART / (72 * theme.width * 0.6) * span
    shown: list[int] = []
    for length in reversed(lengths):
        if all(np.log2(other / length) >= apart for other in shown):
            shown.append(int(length))
    ax.set_xticks(shown, [f"{n:,}" for n in shown])
    ax.minorticks_off()
    edge = 2 ** (0.06 * span)
    ax.set_xlim(min(lengths) / edge, max(lengths) * edge)


def _draw_target(ax: Axes, comparison: Comparison, theme: Theme, main: str) -> None:
    """Draw the target, and point at the shortest schedule that reaches it for certain."""
    horizon = comparison.uniform[0].horizon
    ax.axhline(100 * horizon.target, color=theme.muted, lw=1, ls=(0, (1, 2)))
    sure = [one for one in comparison.uniform if one.steps is not None and one.ratio > 1 and one.low > 0]
    pointed = _pointed_at(sure, main)
    if pointed is not None and pointed.steps is not None:
        words = f"{pointed.ratio:.3g}× fewer steps\nto {horizon.label}'s {percent(horizon.target)} %"
        mark(ax, pointed.steps, 100 * horizon.target, words, theme)


def _pointed_at(sure: list[ToTarget], main: str) -> ToTarget | None:
    if main:
        return next((one for one in sure if one.label == main), None)
    return max(sure, key=lambda one: one.ratio, default=None)
