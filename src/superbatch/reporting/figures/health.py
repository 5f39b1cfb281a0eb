"""How healthy a run was, and where its time went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from superbatch.reporting.accounts import TIME_PARTS, time_split
from superbatch.reporting.figures.canvas import heading, legend_above, new_figure, plain, step_axis
from superbatch.reporting.figures.labels import shown_names
from superbatch.reporting.names import label_of
from superbatch.reporting.runs import Run
from superbatch.reporting.spans import binned
from superbatch.reporting.theme import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def health_figure(run: Run, theme: Theme = LIGHT) -> Figure:
    """Loss, gradient norm and learning rate along a run (mean and range of each span of steps)."""
    from matplotlib.ticker import LogLocator

    figure, axes = new_figure(theme, columns=3, height=2.9)
    ledger = run.ledger
    assert ledger is not None, "health is read from the ledger"
    bins = max(10, min(120, len(ledger) // 8))
    middle, low, high = (binned(ledger, bins, how) for how in ("mean", "min", "max"))
    for ax, name, color in zip(axes, ("loss", "gradient_norm", "learning_rate"), theme.selecting, strict=False):
        ax.fill_between(middle["step"], low[name], high[name], color=color, alpha=0.18, lw=0)
        ax.plot(middle["step"], middle[name], color=color, lw=1.8)
        log = name != "learning_rate" and _leaps(ledger[name])
        if log:
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.minorticks_off()
        ax.yaxis.set_major_formatter(plain)
        title = name.replace("_", " ") + (" (logarithmic)" if log else "")
        heading(ax, title, theme)
        step_axis(ax, theme)
    return figure


def _leaps(values: pd.Series) -> bool:
    """Whether a few large values would flatten all others against the axis."""
    return bool(values.min() > 0 and values.max() > 5 * values.median())


def time_figure(runs: list[Run], theme: Theme = LIGHT) -> Figure:
    """Where the time of a step goes, as one bar a run: reading, scoring, selecting, training the learner and what is trained along, checkpoints."""
    rows = [(label_of(run.method, run.filter_ratio), time_split(run.ledger)) for run in runs]
    figure, axes = new_figure(theme, height=1.2 + (0.62 if theme.narrow else 0.42) * len(rows))
    ax, left = axes[0], np.zeros(len(rows))
    colors = (
        theme.muted,
        theme.simple[0],
        theme.selecting[1],
        theme.selecting[0],
        theme.text,
        theme.selecting[2],
        theme.simple[1],
    )
    labels = shown_names([label for label, _ in rows])
    gap = "\n" if theme.narrow else ", "
    names = [f"{label}{gap}{run.steps:,} steps" for label, run in zip(labels, runs, strict=True)]
    for part, color in zip(TIME_PARTS, colors, strict=True):
        if not any(part in split for _, split in rows):
            continue
        width = np.array([1000 * split.get(part, 0.0) for _, split in rows])
        ax.barh(range(len(rows)), width, left=left, color=color, height=0.62, label=part.removeprefix("seconds_"))
        left += width
    ax.set_yticks(range(len(rows)), names)
    ax.invert_yaxis()
    ax.set_xlabel("milliseconds a step (mean)")
    legend_above(figure, theme, columns=7)
    ax.grid(axis="y", visible=False)
    return figure
