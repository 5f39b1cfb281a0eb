"""The picture of README and of talks: what a step is worth on both pools, in classification and in retrieval, with few lines and direct labels.

    python benchmarks/talk_figure.py --out docs/images/results.png

It draws the recorded runs (benchmarks/results/compare_<pool>.json); `results.py` makes and records them. Each point is a complete schedule of its own,
the mean over seeds on the test split, of the settings that validation chose; bars are 95 % intervals where there are seeds enough.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import common
import numpy as np
import pandas as pd
from results import POOLS, RECOMMENDED, finals, recorded

from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.reporting.best import best_cell
from superbatch.reporting.figures import png
from superbatch.reporting.figures.canvas import new_figure, thousands
from superbatch.reporting.intervals import mean_interval
from superbatch.reporting.theme import LIGHT
from superbatch.reporting.tuning import tuned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEASURES = {"zero-shot top-1 %": "value", "retrieval, mean R@1 %": "test r1"}
TITLES = {
    "simweb": "simweb: a noisy crawl, 34 % of captions right",
    "icons": "icons: 316,000 real drawings and their names",
}


class Line(NamedTuple):
    """How a method is drawn, and what it is called in a talk."""

    words: str
    color: str
    width: float = 1.8
    style: str = "-"


LINES = {
    "uniform": Line("uniform", LIGHT.text),
    "filtered": Line("the usual filter", LIGHT.simple[0], style="--"),
    "jest": Line("JEST", LIGHT.selecting[1]),
    RECOMMENDED: Line(RECOMMENDED, LIGHT.selecting[0], 2.6),
}


def main() -> None:
    """Draw the picture and print what is in it."""
    made = common.parser(__doc__.splitlines()[0])
    made.add_argument("--out", type=Path, metavar="PNG", default=common.ROOT / "docs" / "images" / "results.png")
    options = made.parse_args()
    figure, axes = new_figure(LIGHT, len(MEASURES), len(POOLS), height=6.4)
    drawn, shown = iter(axes), []
    points = {pool: tuned(finals(read_json(recorded(pool)))) for pool in POOLS}
    for name, column in MEASURES.items():
        for pool, frame in points.items():
            ax = next(drawn)
            shown += [[pool, name, *row] for row in panel(ax, frame, column)]
            ax.set_ylabel(name if pool == next(iter(POOLS)) else "")
            if column == "value":
                ax.set_title(TITLES[pool], fontsize=10.5, color=LIGHT.text, loc="left")
            else:
                ax.set_xlabel("steps of a complete schedule")
    print(common.table(["pool", "measure", "method", "steps", "%", "seeds"], shown))
    if not options.quick:
        options.out.write_bytes(png(figure, transparent=False))
    common.report("talk_figure", {"points": len(shown)}, options)


def panel(ax: Axes, frame: pd.DataFrame, column: str) -> list[list[str]]:
    """Draw one measure on one pool; returns the points as rows of a table."""
    rows, lines = [], []
    for method, line in LINES.items():
        own = one_ratio(frame[frame["method"] == method])
        points = [(int(steps), *mean_interval(cell[column]), len(cell)) for steps, cell in own.groupby("steps")]
        if points:
            draw(ax, points, line)
            lines.append((points, line))
            rows += [[method, f"{steps:,}", f"{100 * mean:.1f}", str(seeds)] for steps, mean, _, _, seeds in points]
    ax.set_xscale("log", base=2)
    lengths = [2**power * 1_000 for power in range(-1, 6)]
    ax.set_xticks(lengths, [thousands(length) for length in lengths])
    ax.minorticks_off()
    ax.set_ylim(bottom=0)
    label(ax, lines)
    return rows


def one_ratio(own: pd.DataFrame) -> pd.DataFrame:
    """Of several filtering ratios keep that of the method's best cell by validation, which also stands for the method in `results.py`."""
    best = best_cell(own)
    return own if best is None else own[own["f"] == best["f"].iloc[0]]


def draw(ax: Axes, points: list[tuple[int, float, float, float, int]], line: Line) -> None:
    """Draw a method's schedules; intervals only where there are three seeds or more, since those of two are as wide as the picture."""
    steps, mean, low, high, seeds = (np.array(column, float) for column in zip(*points, strict=True))
    spread = np.where(seeds >= 3, np.stack([mean - low, high - mean]), np.nan)
    ax.errorbar(
        steps,
        100 * mean,
        yerr=100 * spread,
        color=line.color,
        lw=line.width,
        ls=line.style,
        marker="o",
        ms=4,
        capsize=2,
        elinewidth=1,
    )


Points = list[tuple[int, float, float, float, int]]


def label(ax: Axes, lines: list[tuple[Points, Line]]) -> None:
    """Write each method's name behind its line's end, or above, below or before it: wherever nothing else is."""
    ax.set_xlim(250, ax.get_xlim()[1] * 2.2)
    ax.set_ylim(0, ax.get_ylim()[1] * 1.1)
    taken = np.concatenate([ink(ax, points) for points, _ in lines])
    for points, line in lines:
        for number, (at, offset, side, level) in enumerate(places(points)):
            how = {"color": line.color, "fontsize": 9, "ha": side, "va": level, "annotation_clip": False}
            text = ax.annotate(line.words, at, offset, textcoords="offset points", **how)
            box = text.get_window_extent().padded(2)
            inside = ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1 * 1.02 and box.y1 <= ax.bbox.y1
            if (inside and not box.count_contains(taken)) or number == len(places(points)) - 1:
                taken = np.concatenate(
                    [taken, np.array([[x, box.y0 + box.height / 2] for x in np.linspace(box.x0, box.x1, 40)])]
                )
                break
            text.remove()


def places(points: Points) -> list[tuple[tuple[float, float], tuple[int, int], str, str]]:
    """Where a name may stand, the best first: what it is held to, how far from there in points, and its alignment."""
    (first, begin, _, most, own), (steps, end, low, high, seeds) = points[0], points[-1]
    top, bottom = (high, low) if seeds >= 3 else (end, end)
    behind, before = ((steps, 100 * end), (8, 0), "left", "center"), ((first, 100 * begin), (-8, 0), "right", "center")
    above, below = ((steps, 100 * top), (0, 5), "center", "bottom"), ((steps, 100 * bottom), (0, -5), "center", "top")
    head = ((first, 100 * (most if own >= 3 else begin)), (0, 5), "center", "bottom")
    return [behind, above, below, head, before]


def ink(ax: Axes, points: Points) -> np.ndarray:
    """Return where a line and its intervals are on the page, as many places (n, 2) in pixels."""
    at = np.array([[np.log2(steps), 100 * mean] for steps, mean, *_ in points])
    along = np.linspace(*at[[0, -1], 0], 200)
    places = [np.stack([along, np.interp(along, *at.T)], 1)]
    places += [
        np.stack([np.full(60, np.log2(steps)), np.linspace(100 * low, 100 * high, 60)], 1)
        for steps, _, low, high, n in points
        if n >= 3
    ]
    found: np.ndarray = ax.transData.transform([(2**x, y) for x, y in np.concatenate(places)])
    return found


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"Error: {error}")
