"""The picture of README and of talks: what a step is worth on both pools, with five lines, each with its name at its end.

    python benchmarks/talk_figure.py --out docs/images/results.png
    python benchmarks/talk_figure.py --retrieval --out docs/images/retrieval.png
    python benchmarks/talk_figure.py --retrieval --against operations --out docs/images/operations.png

With `--retrieval` that stands below classification. The third has operations on its axis, everything charged (reference, embedding, scoring), and the methods that save some. It draws the recorded runs (benchmarks/results/compare_<pool>.json); `results.py` makes and records them. Each point is a complete schedule of its own,
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
from superbatch.reporting.figures.canvas import heading, new_figure, room_of, thousands
from superbatch.reporting.figures.labels import End, end_labels
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
    "common_first": Line("common captions first", LIGHT.simple[1], style="--"),
    RECOMMENDED: Line(RECOMMENDED, LIGHT.selecting[0], 2.6),
}


# Those that differ by what a step costs; `jest_pp` is in a record of its own.
BY_OPERATIONS = LINES | {
    "flexi_jest": Line("Flexi-JEST", LIGHT.selecting[2]),
    "jest_pp": Line("JEST++", LIGHT.selecting[3]),
}
FURTHER = {"simweb": ("simweb_pp",), "icons": ("icons_pp",)}  # more records of a pool


class Against(NamedTuple):
    """What is on the axis from left to right: a column of the outcomes, its unit, which methods, where its ticks are."""

    column: str
    unit: float
    words: str
    lines: dict[str, Line]
    ticks: list[float]


AXES = {
    "steps": Against("steps", 1, "steps of a complete schedule", LINES, [500, 2_000, 8_000, 32_000]),
    "operations": Against("flops_charged", 1e12, "TFLOP, everything charged", BY_OPERATIONS, [2, 4, 8, 16, 32, 64]),
}


def main() -> None:
    """Draw the picture and print what is in it."""
    made = common.parser(__doc__.splitlines()[0])
    made.add_argument("--against", choices=AXES, default="steps", help="what is on the axis")
    made.add_argument("--out", type=Path, metavar="PNG", default=common.ROOT / "docs" / "images" / "results.png")
    made.add_argument("--retrieval", action="store_true", help="with retrieval below classification")
    options = made.parse_args()
    against = AXES[options.against]
    measures = list(MEASURES.items())[: None if options.retrieval else 1]
    figure, axes = new_figure(LIGHT, len(measures), len(POOLS), height=3.3 * len(measures))
    room = room_of(figure, len(measures))
    drawn, shown = iter(axes), []
    points = {pool: tuned(finals(rows_of(pool, against))) for pool in POOLS}
    for name, column in measures:
        for pool, frame in points.items():
            ax = next(drawn)
            shown += [[pool, name, *row] for row in panel(ax, frame, column, against, room)]
            ax.set_ylabel(name if pool == next(iter(POOLS)) else "")
            if column == "value":
                heading(ax, TITLES[pool], LIGHT)
            if column == measures[-1][1]:
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


def panel(ax: Axes, frame: pd.DataFrame, column: str, against: Against, room: float) -> list[list[str]]:
    """Draw one measure on one pool, each line's name at its end; returns the points as rows of a table."""
    rows, ends = [], []
    for method, line in against.lines.items():
        own = one_ratio(frame[frame["method"] == method])
        cells = [cell for _, cell in own.groupby("steps")]
        points = [
            (float(cell[against.column].mean() / against.unit), *mean_interval(cell[column]), len(cell))
            for cell in cells
        ]
        if points:
            draw(ax, points, line)
            ends.append(End(line.words, points[-1][0], 100 * points[-1][1], line.color))
            rows += [[method, f"{at:,.4g}", f"{100 * mean:.1f}", str(seeds)] for at, mean, _, _, seeds in points]
    low, high = ax.get_xlim()
    ax.set_xscale("log", base=2)
    ticks = [tick for tick in against.ticks if low <= tick <= high]
    ax.set_xticks(ticks, [thousands(tick) if tick >= 1_000 else f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_ylim(bottom=0)
    end_labels(ax, ends, LIGHT, room)
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


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"Error: {error}")
