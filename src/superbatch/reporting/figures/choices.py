"""What runs picked, along their length: small multiples, each line with its name at the end of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from superbatch.reporting.figures.canvas import heading, new_figure, room_of
from superbatch.reporting.figures.labels import End, end_labels
from superbatch.reporting.theme import LIGHT, Theme, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Column, title, factor. What is not known is left out; true concepts take the place of clusters where they are known.
PANELS = (
    ("purity", "good pairs among the picks, %", 100),
    ("percentile", "percentile of the picks by the reference's score", 100),
    ("concepts", "effective number of {of} of the picks", 1),
    ("in_batch", "different {of} in a batch", 1),
    ("repeats", "times that each picked row was taken so far", 1),
    ("never", "rows never picked so far, %", 100),
)
# Not the effective number: over the few picks of a tenth that are made again it comes out too low to stand beside uniform's.
CONTRASTS = (
    ("overlap", "taken alone too, %", 100),
    ("purity", "good pairs, %", 100),
    ("percentile", "percentile", 100),
    ("in_batch", "{of} in a batch", 1),
)
UNIFORM = (0, (4, 2))  # its dashes

Line = tuple[str, np.ndarray, np.ndarray, str, object]  # name, where, values, colour, line style


def choices_figure(
    runs: Mapping[str, tuple[str, pd.DataFrame]], chance: pd.DataFrame, theme: Theme = LIGHT, most: int = len(PANELS)
) -> Figure:
    """Draw what runs of one length picked, a panel a measure, uniform sampling as the dashed line.

    Args:
        runs: role and `choices.along` by label. chance: `choices.by_chance` of the same length.
        most: panels; those of the first measures that are known.
    """
    panels = _panels(PANELS, chance)[:most]
    rows = -(-len(panels) // 2)
    figure, axes = new_figure(theme, rows=rows, columns=2, height=2.7 * rows, panels=len(panels))
    room = room_of(figure, len(panels) if theme.narrow else rows)
    drawn = styles([(label, role) for label, (role, _) in runs.items()], theme)
    for ax, (name, title, factor) in zip(axes, panels, strict=True):
        lines = [
            (label, _at(runs[label][1]), factor * runs[label][1][name].to_numpy(), style.color, style.line)
            for label, style in drawn.items()
        ]
        _panel(
            ax,
            title,
            [*lines, ("uniform", _at(chance), factor * chance[name].to_numpy(), theme.muted, UNIFORM)],
            theme,
            room,
        )
    return figure


def contrast_figure(runs: Mapping[str, tuple[pd.DataFrame, pd.Series, float]], theme: Theme = LIGHT) -> Figure:
    """Draw joint picks and those of the same scores drawn alone, a row a run, a panel a measure.

    Args:
        runs: by label `alone.contrast`, what uniform sampling has of each measure, and the share of the super-batch that is chosen.
    """
    panels = _panels(CONTRASTS, next(iter(runs.values()))[0])
    figure, axes = new_figure(theme, rows=len(runs), columns=len(panels), height=0.4 + 2.4 * len(runs))
    room = room_of(figure, len(axes) // 2 if theme.narrow else len(runs))
    for number, (label, (frame, usual, share)) in enumerate(runs.items()):
        for ax, (name, title, factor) in zip(axes[number * len(panels) :], panels, strict=False):
            chance = factor * (share if name == "overlap" else float(usual[name]))
            _contrast_panel(
                ax, frame, name, f"{label}\n{title}" if name == panels[0][0] else title, factor, chance, theme, room
            )
    return figure


def _panels(panels: tuple[tuple[str, str, int], ...], frame: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Choose the panels of what is known: column, title, factor."""
    true = frame["true_concepts"].notna().any()
    of = "concepts" if true else "clusters"
    named = [
        (f"true_{name}" if true and "{of}" in title else name, title.format(of=of), factor)
        for name, title, factor in panels
    ]
    return [panel for panel in named if frame[panel[0]].notna().any()]


def _contrast_panel(
    ax: Axes, frame: pd.DataFrame, name: str, title: str, factor: int, usual: float, theme: Theme, room: float
) -> None:
    sides = {who: frame[frame["who"] == who] for who in ("joint", "alone")}
    at = _at(sides["joint"])
    lines = [("joint", at, factor * sides["joint"][name].to_numpy(), theme.selecting[0], "-")]
    if name != "overlap":
        lines.append(("alone", at, factor * sides["alone"][name].to_numpy(), theme.simple[0], "--"))
    _panel(ax, title, [*lines, ("uniform", at, np.full(len(at), usual), theme.muted, UNIFORM)], theme, room)


def _at(frame: pd.DataFrame) -> np.ndarray:
    """Where the ends of a run's parts lie, in per cent of its steps."""
    found: np.ndarray = 100 * frame["steps"].to_numpy(float) / float(frame["steps"].max())
    return found


def _panel(ax: Axes, title: str, lines: Sequence[Line], theme: Theme, room: float) -> None:
    """Draw lines with their names to the right of them.

    Args:
        room: the axes' height, about, in points.
    """
    for _, at, values, color, style in lines:
        ax.plot(at, values, color=color, ls=style, lw=1.8)  # type: ignore[arg-type]
    ax.set_ylim(0, 1.08 * max(float(np.nanmax(values)) for _, _, values, _, _ in lines) or 1.0)
    ax.set_xlim(0, 100)
    ax.set_xticks([0, 50, 100])
    ax.set_xlabel("% of the steps")
    heading(ax, title, theme)
    end_labels(ax, [End(label, 100.0, float(values[-1]), color) for label, _, values, color, _ in lines], theme, room)
