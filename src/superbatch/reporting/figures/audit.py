"""The rows of an audited pool by how often they were chosen, and at which score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from superbatch.options import VERDICTS
from superbatch.reporting.figures.canvas import heading, legend_above, new_figure
from superbatch.reporting.names import words
from superbatch.reporting.theme import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def audit_figure(rows: pd.DataFrame, base_rate: float, theme: Theme = LIGHT) -> Figure:
    """Histograms over the rows of a pool, in the colours of their verdicts: share chosen of the times seen, mean score.

    Args:
        rows: `audit.audit_rows`. base_rate: b/B, drawn as a line.
    """
    figure, axes = new_figure(theme, columns=2, height=3.4)
    drawn = [name for name in VERDICTS if (rows["verdict"] == name).any() and name != "unseen"]
    colors = dict(zip(VERDICTS, (*theme.selecting[::2], *theme.simple[2::-2], theme.muted, theme.grid), strict=True))
    values = {"chosen, share of the times seen": rows["chosen"] / rows["seen"], "mean score": rows["mean_score"]}
    for ax, (title, value) in zip(axes, values.items(), strict=True):
        parts = [value[rows["verdict"] == name].dropna() for name in drawn]
        bins = np.linspace(-0.05, 1.05, 12).tolist() if ax is axes[0] else 40
        ax.hist(parts, bins=bins, stacked=True, color=[colors[n] for n in drawn], label=[words(n) for n in drawn])
        heading(ax, title, theme)
    axes[0].axvline(base_rate, color=theme.text, lw=1.2, ls="--", label="base rate b/B")
    axes[0].set_ylabel("rows")
    legend_above(figure, theme, columns=6)
    return figure
