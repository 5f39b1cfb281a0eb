"""The picture of README and of talks: what a step is worth on both pools, in classification and in retrieval, with few lines and direct labels.

    python benchmarks/talk_figure.py --out docs/images/results.png
    python benchmarks/talk_figure.py --against operations --out docs/images/operations.png

The second has operations on its axis, everything charged (reference, embedding, scoring), and the methods that save some. It draws the recorded runs (benchmarks/results/compare_<pool>.json); `results.py` makes and records them. Each point is a complete schedule of its own,
the mean over seeds on the test split, of the settings that validation chose; bars are 95 % intervals where there are seeds enough.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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


# Those that differ by what a step costs; on simweb `jest_pp` is in a record of its own.
BY_OPERATIONS = LINES | {
    "flexi_jest": Line("Flexi-JEST", LIGHT.selecting[2]),
    "jest_pp": Line("JEST++", LIGHT.selecting[3]),
}
FURTHER = {"simweb": ("simweb_pp",)}  # more records of a pool


class Against(NamedTuple):
    """What is on the axis from left to right: a column of the outcomes, its unit, which methods, where its ticks are."""

    column: str
    unit: float
    words: str
    lines: dict[str, Line]
    ticks: list[float]


AXES = {
    "steps": Against("steps", 1, "steps of a complete schedule", LINES, [2.0**power * 1_000 for power in range(-1, 6)]),
    "operations": Against(
        "flops_charged", 1e12, "TFLOP, everything charged", BY_OPERATIONS, [2.0**power for power in range(1, 7)]
    ),
}


def main() -> None:
    """Draw the picture and print what is in it."""
    made = common.parser(__doc__.splitlines()[0])
    made.add_argument("--against", choices=AXES, default="steps", help="what is on the axis")
    made.add_argument("--out", type=Path, metavar="PNG", default=common.ROOT / "docs" / "images" / "results.png")
    options = made.parse_args()
    against = AXES[options.against]
    figure, axes = new_figure(LIGHT, len(MEASURES), len(POOLS), height=6.4)
    drawn, shown = iter(axes), []
    points = {pool: tuned(finals(rows_of(pool, against))) for pool in POOLS}
    for name, column in MEASURES.items():
        for pool, frame in points.items():
            ax = next(drawn)
            shown += [[pool, name, *row] for row in panel(ax, frame, column, against)]
            ax.set_ylabel(name if pool == next(iter(POOLS)) else "")
            if column == "value":
                ax.set_title(TITLES[pool], fontsize=10.5, color=LIGHT.text, loc="left")
            else:
                ax.set_xlabel(against.words)
    print(common.table(["pool", "measure", "method", options.against, "%", "seeds"], shown))
    if not options.quick:
        options.out.write_bytes(png(figure, transparent=False))
    common.report("talk_figure", {"points": len(shown)}, options)


def rows_of(pool: str, against: Against) -> list[dict[str, Any]]:
    """Return the recorded outcomes of a pool, with further records where the picture has their methods."""
    names = (pool, *(FURTHER.get(pool, ()) if "jest_pp" in against.lines else ()))
    rows = {row["run"]: row | {"method": row["label"]} for name in names[1:] for row in read_json(recorded(name))}
    return list((rows | {row["run"]: row for row in read_json(recorded(pool))}).values())


def panel(ax: Axes, frame: pd.DataFrame, column: str, against: Against) -> list[list[str]]:
    """Draw one measure on one pool; returns the points as rows of a table."""
    rows, lines = [], []
    for method, line in against.lines.items():
        own = one_ratio(frame[frame["method"] == method])
        cells = [cell for _, cell in own.groupby("steps")]
        points = [
            (float(cell[against.column].mean() / against.unit), *mean_interval(cell[column]), len(cell))
            for cell in cells
        ]
        if points:
            draw(ax, points, line)
            lines.append((points, line))
            rows += [[method, f"{at:,.4g}", f"{100 * mean:.1f}", str(seeds)] for at, mean, _, _, seeds in points]
    ax.set_xscale("log", base=2)
    ax.set_xticks(against.ticks, [thousands(tick) if tick >= 1_000 else f"{tick:g}" for tick in against.ticks])
    ax.minorticks_off()
    ax.set_ylim(bottom=0)
    label(ax, lines)
    return rows


def one_ratio(own: pd.DataFrame) -> pd.DataFrame:
    """Of several filtering ratios keep that of the method's best cell by validation, which also stands for the method in `results.py`."""
    best = best_cell(own)
    return own if best is None else own[own["f"] == best["f"].iloc[0]]


Points = list[tuple[float, float, float, float, int]]  # where it stands on the axis, mean, interval, seeds


def draw(ax: Axes, points: Points, line: Line) -> None:
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


def label(ax: Axes, lines: list[tuple[Points, Line]]) -> None:
    """Write each method's name behind its line's end, or above, below or before it: wherever nothing else is."""
    leftmost = min(points[0][0] for points, _ in lines)
    ax.set_xlim(leftmost / 2.2, ax.get_xlim()[1] * 2.2)
    ax.set_ylim(0, ax.get_ylim()[1] * 1.1)
    taken = np.concatenate([ink(ax, points) for points, _ in lines])
    for points, line in lines:
        taken = np.concatenate([taken, name_of(ax, points, line, taken)])


def name_of(ax: Axes, points: Points, line: Line, taken: np.ndarray) -> np.ndarray:
    """Write a line's name at the first of the places that hide least; returns where it is on the page, as `ink` does."""
    texts, hidden = [], []
    for at, offset, side, level in places(points):
        how = {"color": line.color, "fontsize": 9, "ha": side, "va": level, "annotation_clip": False}
        texts.append(ax.annotate(line.words, at, offset, textcoords="offset points", **how))
        box = texts[-1].get_window_extent().padded(2)
        inside = ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1 * 1.02 and box.y1 <= ax.bbox.y1
        hidden.append(box.count_contains(taken) + (0 if inside else len(taken)))
    kept = int(np.argmin(hidden))
    for text in (text for number, text in enumerate(texts) if number != kept):
        text.remove()
    box = texts[kept].get_window_extent().padded(2)
    return np.array([[x, box.y0 + box.height / 2] for x in np.linspace(box.x0, box.x1, 40)])


def places(points: Points) -> list[tuple[tuple[float, float], tuple[int, int], str, str]]:
    """Where a name may stand, the best first: what it is held to, how far from there in points, and its alignment."""
    (first, begin, _, most, own), (steps, end, low, high, seeds) = points[0], points[-1]
    top, bottom = (high, low) if seeds >= 3 else (end, end)
    behind, before = ((steps, 100 * end), (8, 0), "left", "center"), ((first, 100 * begin), (-8, 0), "right", "center")
    above, below = ((steps, 100 * top), (0, 5), "center", "bottom"), ((steps, 100 * bottom), (0, -5), "center", "top")
    head = ((first, 100 * (most if own >= 3 else begin)), (0, 5), "center", "bottom")
    corners = [((steps, 100 * end), (7, y), "left", "center") for y in (9, -9)]
    corners += [((first, 100 * begin), (-7, y), "right", "center") for y in (9, -9)]
    return [behind, above, below, head, before, *corners]


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
