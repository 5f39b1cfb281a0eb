"""What a run picked, over time: kinds of pairs, scores, how the picks stand to the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from superbatch.reporting.figures.canvas import legend, new_figure, step_axis
from superbatch.reporting.runs import Run
from superbatch.reporting.spans import binned
from superbatch.reporting.standing import Standing
from superbatch.reporting.theme import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def purity_figure(shares: pd.DataFrame, theme: Theme = LIGHT) -> Figure:
    """Share of each kind among the picks over time, the super-batch's share as the line beside it.

    Args:
        shares: `purity.purity`.
    """
    kinds = list(dict.fromkeys(shares["kind"]))
    columns = min(4, len(kinds))
    rows = -(-len(kinds) // columns)
    figure, axes = new_figure(theme, rows=rows, columns=columns, height=1.2 + 1.75 * rows)
    for ax, kind in zip(axes, kinds, strict=False):
        part = shares[shares["kind"] == kind]
        color = theme.selecting[2] if kind == "clean" else theme.simple[0]
        ax.plot(part["step"], 100 * part["picked"], color=color, lw=2, label="picked")
        ax.plot(part["step"], 100 * part["super_batch"], color=theme.muted, lw=1.3, ls="--", label="super-batch")
        ax.fill_between(part["step"], 100 * part["super_batch"], 100 * part["picked"], color=color, alpha=0.15, lw=0)
        ax.set_ylim(0, max(5.0, 115 * float(np.nanmax(part[["picked", "super_batch"]].to_numpy()))))
        ax.set_title(kind.replace("_", " "), color=theme.text, fontsize=9.5, loc="left")
        step_axis(ax)
    for ax in axes[len(kinds) :]:
        ax.axis("off")
    for ax in axes[::columns]:
        ax.set_ylabel("share %", fontsize=8.5)
    legend(axes[0], theme, size=8)
    return figure


def scores_figure(run: Run, again: pd.DataFrame, theme: Theme = LIGHT) -> Figure:
    """Mean score of super-batch and pick along a run, and the share of picks that had been picked before.

    Args:
        again: `purity.repeats`.
    """
    figure, axes = new_figure(theme, columns=2, height=3.0)
    assert run.ledger is not None, "mean scores are read from the ledger"
    ledger = binned(run.ledger, 60)
    axes[0].plot(ledger["step"], ledger["score_pick"], color=theme.selecting[0], lw=2, label="picked")
    axes[0].plot(ledger["step"], ledger["score_super_batch"], color=theme.muted, lw=1.5, ls="--", label="super-batch")
    if (new := run.new_kind) is not None:
        axes[0].axvline(new, color=theme.text, lw=1, ls=":", label="another criterion from here")
    axes[0].set_title("mean score", color=theme.text, fontsize=9.5, loc="left")
    legend(axes[0], theme, size=8)
    axes[1].plot(again["step"], 100 * again["again"], color=theme.selecting[1], lw=2)
    axes[1].set_ylim(0, 100)
    axes[1].set_title("picks that had been picked before, %", color=theme.text, fontsize=9.5, loc="left")
    for ax in axes:
        step_axis(ax)
    return figure


def standing_figure(found: Standing, theme: Theme = LIGHT) -> Figure:
    """Share of picks among the reference's favourites, and spread of the picked images, over time."""
    figure, axes = new_figure(theme, columns=2, height=3.0)
    points = found.over_time
    titles = (f"picks among the reference's best {100 * found.share:.3g} %, %", "spread of the picked images")
    lines = ((100 * points["favourites"], 100 * found.share, "chance"), (points["spread"], found.pool_spread, "pool"))
    for ax, title, (values, flat, name), color in zip(axes, titles, lines, theme.selecting[2:], strict=False):
        ax.plot(points["step"], values, color=color, lw=2, label="picked")
        ax.axhline(flat, color=theme.muted, lw=1.5, ls="--", label=name)
        ax.set_title(title, color=theme.text, fontsize=9.5, loc="left")
        ax.set_ylim(0, 1.2 * float(np.nanmax([flat, *values])))
        step_axis(ax)
        legend(ax, theme, size=8)
    axes[0].set_ylim(0, 100)
    return figure
