"""What a run picked, over time: kinds of pairs, scores, how the picks stand to the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from superbatch.reporting.figures.canvas import dress, heading, legend_above, new_figure, room_of, step_axis
from superbatch.reporting.figures.labels import End, end_labels
from superbatch.reporting.names import words
from superbatch.reporting.runs import Run
from superbatch.reporting.spans import binned
from superbatch.reporting.standing import Standing
from superbatch.reporting.theme import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def kinds_figure(shares: pd.DataFrame, totals: pd.DataFrame, theme: Theme = LIGHT) -> Figure:
    """Draw the kinds of pairs among the picks over time, as stacked areas, beside the pool's as one bar.

    Args:
        shares: `purity.purity`. totals: `purity.totals`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(theme.width, 3.4), layout="constrained", facecolor=theme.face)
    bar, ax = figure.subplots(1, 2, width_ratios=[1, 5 if theme.narrow else 11], sharey=True)
    table = 100 * shares.pivot(index="step", columns="kind", values="picked")[list(totals["kind"])].fillna(0.0)
    colors = [theme.kinds[place % len(theme.kinds)] for place in range(len(totals))]
    for one in (bar, ax):
        dress(one, theme)
        one.grid(visible=False)
        one.spines[["left", "bottom"]].set_visible(False)
    below = np.concatenate([[0.0], 100 * totals["pool"].cumsum().to_numpy()[:-1]])
    bar.bar([0], 100 * totals["pool"], bottom=below, width=1, color=colors, edgecolor=theme.face, lw=0.8)
    bar.set_xticks([0], ["pool"])
    ax.stackplot(table.index, table.to_numpy().T, colors=colors, edgecolor=theme.face, lw=0.8)
    ax.set_xlim(float(table.index[0]), float(table.index[-1]))
    ax.set_ylim(0, 100)
    ax.set_yticks([0, 50, 100], ["0", "50", "100 %"])
    ax.tick_params(labelleft=False)
    heading(ax, "the picks, over the run", theme)
    step_axis(ax, theme)
    last = table.iloc[-1]
    middles = last.cumsum() - last / 2
    ends = [
        End(words(kind), float(table.index[-1]), float(middles[kind]), color)
        for kind, color in zip(table, colors, strict=True)
    ]
    end_labels(ax, ends, theme, room_of(figure))
    return figure


def purity_figure(shares: pd.DataFrame, theme: Theme = LIGHT) -> Figure:
    """Share of each kind among the picks over time, the super-batch's share as the line beside it.

    Args:
        shares: `purity.purity`.
    """
    kinds = list(dict.fromkeys(shares["kind"]))
    columns = min(4, len(kinds))
    rows = -(-len(kinds) // columns)
    figure, axes = new_figure(theme, rows=rows, columns=columns, height=1.2 + 1.75 * rows, panels=len(kinds))
    for ax, kind in zip(axes, kinds, strict=True):
        part = shares[shares["kind"] == kind]
        color = theme.selecting[2] if kind == "clean" else theme.simple[0]
        ax.plot(part["step"], 100 * part["picked"], color=color, lw=2, label="picked")
        ax.plot(part["step"], 100 * part["super_batch"], color=theme.muted, lw=1.3, ls="--", label="super-batch")
        ax.fill_between(part["step"], 100 * part["super_batch"], 100 * part["picked"], color=color, alpha=0.15, lw=0)
        ax.set_ylim(0, max(5.0, 115 * float(np.nanmax(part[["picked", "super_batch"]].to_numpy()))))
        heading(ax, f"{words(kind)}, %", theme)
        step_axis(ax, theme)
    legend_above(figure, theme)
    return figure


def scores_figure(run: Run, again: pd.DataFrame, theme: Theme = LIGHT) -> Figure:
    """Mean score of super-batch and pick along a run, and the share of picks that had been picked before.

    Args:
        again: `purity.repeats`.
    """
    figure, axes = new_figure(theme, columns=2, height=3.0)
    assert run.ledger is not None, "mean scores are read from the ledger"
    ledger, room = binned(run.ledger, 60), _room(figure, theme)
    lines = {"picked": ("score_pick", theme.selecting[0], "-"), "super-batch": ("score_super_batch", theme.muted, "--")}
    for column, color, style in lines.values():
        axes[0].plot(ledger["step"], ledger[column], color=color, lw=2, ls=style)
    if (new := run.new_kind) is not None:
        axes[0].axvline(new, color=theme.text, lw=1, ls=":")
    heading(axes[0], "mean score" if new is None else f"mean score (another criterion from step {new:,})", theme)
    scored = ledger[ledger["score_pick"].notna()]  # a run that takes all it looks at has no scores any more
    last = (scored if len(scored) else ledger).iloc[-1]
    ends = [End(name, float(last["step"]), float(last[column]), color) for name, (column, color, _) in lines.items()]
    end_labels(axes[0], ends, theme, room)
    axes[1].plot(again["step"], 100 * again["again"], color=theme.selecting[1], lw=2)
    axes[1].set_ylim(0, 100)
    heading(axes[1], "picks that had been picked before, %", theme)
    for ax in axes:
        step_axis(ax, theme)
    return figure


def standing_figure(found: Standing, theme: Theme = LIGHT) -> Figure:
    """Share of picks among the reference's favourites, and spread of the picked images, over time."""
    figure, axes = new_figure(theme, columns=2, height=3.0)
    points, room = found.over_time, _room(figure, theme)
    titles = (f"picks among the reference's best {100 * found.share:.3g} %, %", "spread of the picked images")
    lines = ((100 * points["favourites"], 100 * found.share, "chance"), (points["spread"], found.pool_spread, "pool"))
    for ax, title, (values, flat, name), color in zip(axes, titles, lines, theme.selecting[2:], strict=False):
        ax.plot(points["step"], values, color=color, lw=2)
        ax.axhline(flat, color=theme.muted, lw=1.5, ls="--")
        heading(ax, title, theme)
        ax.set_ylim(0, 100 if ax is axes[0] else 1.2 * float(np.nanmax([flat, *values])))
        step_axis(ax, theme)
        last = float(points["step"].iloc[-1])
        end_labels(
            ax, [End("picked", last, float(values.iloc[-1]), color), End(name, last, flat, theme.muted)], theme, room
        )
    return figure


def _room(figure: Figure, theme: Theme) -> float:
    """How high each of two panels is, about, in points."""
    return room_of(figure, 2 if theme.narrow else 1)
