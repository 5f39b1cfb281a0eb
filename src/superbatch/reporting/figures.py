"""Figures of a report, as matplotlib Figures without any global state (no pyplot)."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from superbatch.options import VERDICTS
from superbatch.reporting.accounts import ACCOUNTINGS, TIME_PARTS, time_split
from superbatch.reporting.curves import AXES
from superbatch.reporting.names import label_of, words
from superbatch.reporting.purity import spans
from superbatch.reporting.runs import Run
from superbatch.reporting.standing import Standing
from superbatch.reporting.targets import Comparison, mean_interval
from superbatch.reporting.theme import LIGHT, Style, Theme, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 9.2  # inches; the page shows figures at about this size
CORNER = 6  # methods whose names still find room in a corner of a plot


def png(figure: Figure, *, transparent: bool = True, dpi: int = 144) -> bytes:
    """Render a figure to PNG bytes; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, transparent=transparent, metadata={"Software": None})
    return buffer.getvalue()


def svg_uri(figure: Figure) -> str:
    """Render a figure to an SVG data URI with a clear ground: sharp at any size and on paper; same figure, same bytes."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "superbatch", "svg.fonttype": "path", "path.simplify": True}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def accuracy_figure(points: pd.DataFrame, axis: str = "step", theme: Theme = LIGHT, title: str = "top-1") -> Figure:
    """Accuracy along runs against one cost; the range over seeds as a band.

    Args:
        points: `mean_curves`. axis: a key of `curves.AXES`. title: the metric's.
    """
    figure, axes = _figure(theme, height=3.9)
    ax = axes[0]
    _draw_curves(ax, points, axis, _styles(points, theme))
    ax.set_xlabel(AXES[axis])
    ax.set_ylabel(f"{title} %, validation")
    _legend(ax, theme, outside=points["label"].nunique() > CORNER)
    return figure


def flops_figure(points: pd.DataFrame, theme: Theme = LIGHT, title: str = "top-1") -> Figure:
    """Accuracy along runs against FLOPs in the three accountings."""
    figure, axes = _figure(theme, columns=3, height=3.2)
    _draw_panels(axes, points, list(ACCOUNTINGS), theme)
    axes[0].set_ylabel(f"{title} %, validation", fontsize=8.5)
    _legend(axes[0], theme, size=8)
    return figure


def cost_figure(points: pd.DataFrame, theme: Theme = LIGHT, title: str = "top-1") -> Figure:
    """Accuracy along runs against samples, FLOPs in three accountings, and seconds."""
    figure, axes = _figure(theme, rows=2, columns=3, height=5.2)
    _draw_panels(axes, points, [axis for axis in AXES if axis != "step"], theme)
    handles, labels = axes[0].get_legend_handles_labels()
    axes[5].axis("off")
    axes[5].legend(handles, labels, loc="center left", frameon=False, labelcolor=theme.text, fontsize=8.5)
    for ax in (axes[0], axes[3]):
        ax.set_ylabel(f"{title} %, validation", fontsize=8.5)
    return figure


def sentence_figure(sentence: str, theme: Theme = LIGHT) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure, axes = _figure(theme, height=1.0)
    axes[0].axis("off")
    axes[0].text(0.5, 0.5, sentence, ha="center", va="center", color=theme.muted, fontsize=10, wrap=True)
    return figure


def _draw_panels(axes: list[Axes], points: pd.DataFrame, names: list[str], theme: Theme) -> None:
    drawn = _styles(points, theme)
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
    ax.xaxis.set_major_formatter(_thousands)
    if axis not in ("step", "seconds"):
        ax.xaxis.set_major_formatter(_short)


def _thousands(value: float, position: float | None = None) -> str:
    return f"{value:,.15g}"


def _plain(value: float, position: float | None = None) -> str:
    return f"{value:.6g}"


def _short(value: float, position: float | None = None) -> str:
    """A tick such as 2 T or 50 k, instead of a power of ten at the axis' end."""
    power = min(6, max(0, int(np.log10(abs(value)) // 3))) if value else 0
    return f"{value / 1000**power:.3g} {' kMGTPE'[power]}".strip()


def schedule_figure(frame: pd.DataFrame, comparison: Comparison, theme: Theme = LIGHT, title: str = "top-1") -> Figure:
    """Final accuracy of complete schedules against their length: where each method meets the target.

    Args:
        frame: `targets.tuned`. comparison: gives the target and the schedules that reach it.
    """
    figure, axes = _figure(theme, height=4.2)
    ax = axes[0]
    alone = frame.loc[frame["role"] == "reference", "value"]
    frame = _labelled(frame[frame["role"] != "reference"])
    drawn = _styles(frame, theme)
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
    _legend(ax, theme, outside=True)  # a grid of many methods leaves no corner free
    return figure


def _labelled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(label=[label_of(m, f) for m, f in zip(frame["method"], frame["f"], strict=True)])


def _draw_schedules(ax: Axes, label: str, group: pd.DataFrame, style: Style) -> None:
    rows = [(int(steps), *mean_interval(cell["value"])) for steps, cell in group.groupby("steps")]
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
    text = f"target: {horizon.label}'s {100 * horizon.target:.1f} % at T = {horizon.steps:,}"
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
        if outcome.steps is not None and outcome.ratio > 1:
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


def purity_figure(shares: pd.DataFrame, theme: Theme = LIGHT) -> Figure:
    """Share of each kind among the picks over time, the super-batch's share as the line beside it.

    Args:
        shares: `purity.purity`.
    """
    kinds = list(dict.fromkeys(shares["kind"]))
    columns = min(4, len(kinds))
    rows = -(-len(kinds) // columns)
    figure, axes = _figure(theme, rows=rows, columns=columns, height=1.2 + 1.75 * rows)
    for ax, kind in zip(axes, kinds, strict=False):
        part = shares[shares["kind"] == kind]
        color = theme.selecting[2] if kind == "clean" else theme.simple[0]
        ax.plot(part["step"], 100 * part["picked"], color=color, lw=2, label="picked")
        ax.plot(part["step"], 100 * part["super_batch"], color=theme.muted, lw=1.3, ls="--", label="super-batch")
        ax.fill_between(part["step"], 100 * part["super_batch"], 100 * part["picked"], color=color, alpha=0.15, lw=0)
        ax.set_ylim(0, max(5.0, 115 * float(np.nanmax(part[["picked", "super_batch"]].to_numpy()))))
        ax.set_title(kind.replace("_", " "), color=theme.text, fontsize=9.5, loc="left")
        _steps(ax)
    for ax in axes[len(kinds) :]:
        ax.axis("off")
    for ax in axes[::columns]:
        ax.set_ylabel("share %", fontsize=8.5)
    _legend(axes[0], theme, size=8)
    return figure


def scores_figure(run: Run, again: pd.DataFrame, theme: Theme = LIGHT) -> Figure:
    """Mean score of super-batch and pick along a run, and the share of picks that had been picked before.

    Args:
        again: `purity.repeats`.
    """
    figure, axes = _figure(theme, columns=2, height=3.0)
    ledger = _binned(run.ledger, 60)
    axes[0].plot(ledger["step"], ledger["score_pick"], color=theme.selecting[0], lw=2, label="picked")
    axes[0].plot(ledger["step"], ledger["score_super_batch"], color=theme.muted, lw=1.5, ls="--", label="super-batch")
    axes[0].set_title("mean score", color=theme.text, fontsize=9.5, loc="left")
    _legend(axes[0], theme, size=8)
    axes[1].plot(again["step"], 100 * again["again"], color=theme.selecting[1], lw=2)
    axes[1].set_ylim(0, 100)
    axes[1].set_title("picks that had been picked before, %", color=theme.text, fontsize=9.5, loc="left")
    for ax in axes:
        _steps(ax)
    return figure


def standing_figure(found: Standing, theme: Theme = LIGHT) -> Figure:
    """Share of picks among the reference's favourites, and spread of the picked images, over time."""
    figure, axes = _figure(theme, columns=2, height=3.0)
    points = found.over_time
    titles = (f"picks among the reference's best {100 * found.share:.3g} %, %", "spread of the picked images")
    lines = ((100 * points["favourites"], 100 * found.share, "chance"), (points["spread"], found.pool_spread, "pool"))
    for ax, title, (values, flat, name), color in zip(axes, titles, lines, theme.selecting[2:], strict=False):
        ax.plot(points["step"], values, color=color, lw=2, label="picked")
        ax.axhline(flat, color=theme.muted, lw=1.5, ls="--", label=name)
        ax.set_title(title, color=theme.text, fontsize=9.5, loc="left")
        ax.set_ylim(0, 1.2 * float(np.nanmax([flat, *values])))
        _steps(ax)
        _legend(ax, theme, size=8)
    axes[0].set_ylim(0, 100)
    return figure


def _steps(ax: Axes) -> None:
    ax.set_xlabel("steps", fontsize=8.5)
    ax.xaxis.set_major_formatter(_thousands)
    ax.tick_params(labelsize=8)


def health_figure(run: Run, theme: Theme = LIGHT) -> Figure:
    """Loss, gradient norm and learning rate along a run (mean and range of each span of steps)."""
    from matplotlib.ticker import LogLocator

    figure, axes = _figure(theme, columns=3, height=2.9)
    ledger = run.ledger
    assert ledger is not None, "health is read from the ledger"
    bins = max(10, min(120, len(ledger) // 8))
    middle, low, high = (_binned(ledger, bins, how) for how in ("mean", "min", "max"))
    for ax, name, color in zip(axes, ("loss", "gradient_norm", "learning_rate"), theme.selecting, strict=False):
        ax.fill_between(middle["step"], low[name], high[name], color=color, alpha=0.18, lw=0)
        ax.plot(middle["step"], middle[name], color=color, lw=1.8)
        log = name != "learning_rate" and _leaps(ledger[name])
        if log:
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.minorticks_off()
        ax.yaxis.set_major_formatter(_plain)
        title = name.replace("_", " ") + (" (logarithmic)" if log else "")
        ax.set_title(title, color=theme.text, fontsize=9.5, loc="left")
        _steps(ax)
    return figure


def _leaps(values: pd.Series) -> bool:
    """Whether a few large values would press all others flat against the axis."""
    return bool(values.min() > 0 and values.max() > 5 * values.median())


def time_figure(runs: list[Run], theme: Theme = LIGHT) -> Figure:
    """Where the time of a step goes, as one bar a run: reading, scoring, selecting, training the learner and its proxy, checkpoints."""
    rows = [(label_of(run.method, run.filter_ratio), time_split(run.ledger)) for run in runs]
    figure, axes = _figure(theme, height=1.1 + 0.42 * len(rows))
    ax, left = axes[0], np.zeros(len(rows))
    colors = (theme.muted, theme.simple[0], theme.selecting[1], theme.selecting[0], theme.text, theme.simple[1])
    names = [f"{label}, {run.steps:,} steps" for (label, _), run in zip(rows, runs, strict=True)]
    for part, color in zip(TIME_PARTS, colors, strict=True):
        if not any(part in split for _, split in rows):
            continue
        width = np.array([1000 * split.get(part, 0.0) for _, split in rows])
        ax.barh(range(len(rows)), width, left=left, color=color, height=0.62, label=part.removeprefix("seconds_"))
        left += width
    ax.set_yticks(range(len(rows)), names)
    ax.invert_yaxis()
    ax.set_xlabel("milliseconds a step (mean)")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=5, frameon=False, labelcolor=theme.text, fontsize=8.5)
    ax.grid(axis="y", visible=False)
    return figure


def audit_figure(rows: pd.DataFrame, base_rate: float, theme: Theme = LIGHT) -> Figure:
    """Histograms over the rows of a pool, in the colours of their verdicts: share chosen of the times seen, mean score.

    Args:
        rows: `audit.audit_rows`. base_rate: b/B, drawn as a line.
    """
    figure, axes = _figure(theme, columns=2, height=3.4)
    drawn = [name for name in VERDICTS if (rows["verdict"] == name).any() and name != "unseen"]
    colors = dict(zip(VERDICTS, (*theme.selecting[::2], *theme.simple[2::-2], theme.muted, theme.grid), strict=True))
    values = {"chosen, share of the times seen": rows["chosen"] / rows["seen"], "mean score": rows["mean_score"]}
    for ax, (title, value) in zip(axes, values.items(), strict=True):
        parts = [value[rows["verdict"] == name].dropna() for name in drawn]
        bins = np.linspace(-0.05, 1.05, 12).tolist() if ax is axes[0] else 40
        ax.hist(parts, bins=bins, stacked=True, color=[colors[n] for n in drawn], label=[words(n) for n in drawn])
        ax.set_title(title, color=theme.text, fontsize=9.5, loc="left")
    axes[0].axvline(base_rate, color=theme.text, lw=1.2, ls="--", label="base rate b/B")
    axes[0].set_ylabel("rows")
    _legend(axes[0], theme, size=8)
    return figure


def _binned(ledger: pd.DataFrame | None, bins: int, how: str = "mean") -> pd.DataFrame:
    assert ledger is not None
    index, middles = spans(ledger["step"].to_numpy(), bins)
    return ledger.groupby(index).agg(how).assign(step=middles)


def _styles(frame: pd.DataFrame, theme: Theme) -> dict[str, Style]:
    return styles(zip(frame["label"], frame["role"], strict=True), theme)


def _figure(theme: Theme, rows: int = 1, columns: int = 1, height: float = 3.5) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor=theme.face)
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for ax in axes:
        _dress(ax, theme)
    return figure, axes


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


def _legend(ax: Axes, theme: Theme, size: float = 9, outside: bool = False) -> None:
    if ax.get_legend_handles_labels()[0]:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if outside else {"loc": "best"}
        ax.legend(frameon=False, labelcolor=theme.text, fontsize=size, **place)
