"""How the reference scores true pairs, exchanged ones and the pool's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from superbatch.reporting.figures.canvas import legend_above, new_figure
from superbatch.reporting.theme import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = {"pool": "pool", "exchanged": "curated, exchanged", "true": "curated, held out"}  # drawn in this order
CUT = 0.3  # best share of the pool whose border is drawn: the filter's usual one


def check_figure(found: dict[str, Any], theme: Theme = LIGHT) -> Figure:
    """Densities of the reference's scores (cosines) by kind of pair, and the border of the filter's best part.

    Args:
        found: a check's JSON.
    """
    figure, (ax,) = new_figure(theme, height=3.0)
    edges = np.array(found["scores"]["edges"])
    colors = {"pool": theme.muted, "exchanged": theme.simple[0], "true": theme.selecting[2]}
    for kind, name in NAMES.items():
        counts = np.array(found["scores"].get(kind, []), float)
        if counts.sum():
            density = counts / counts.sum() / np.diff(edges)
            ax.stairs(density, edges, color=colors[kind], lw=2, label=name)
            ax.stairs(density, edges, color=colors[kind], alpha=0.15, fill=True)
    for best in (found.get("purity") or {}).get("filter", []):
        if best["kept"] == CUT:
            ax.axvline(best["cut"], color=theme.text, lw=1.3, ls="--", label=f"best {100 * CUT:.0f} % from here")
    ax.set_xlabel("score: cosine of image and caption")
    ax.set_yticks([])
    ax.set_ylabel("share of pairs")
    legend_above(figure, theme)
    return figure
