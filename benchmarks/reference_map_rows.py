"""The rows of the reference map: kept as JSON lines, told as a table, drawn as a figure."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from common import table
from results import R1, mean_of

from superbatch.evaluation.pairs.resampling import Estimate
from superbatch.evaluation.pairs.verdict import THRESHOLDS, Evidence, judge

Row = dict[str, Any]
# Rows that are equal in these are the same row.
KEY = ("kind", "world", "pool", "reference", "method", "settings", "evaluation")
MEASURES = {"headline": ("headline",), "top1": ("top1",), "r1": R1}  # means over a row's metrics of such endings
NAMES = {"headline": "headline", "top1": "top-1", "r1": "mean R@1"}
UNIFORM, FILTER = "uniform", "filtered"
SIMPLE = (FILTER, "balanced_filter")


class Rows:
    """Rows in a file of JSON lines: each is added by one write as soon as it is there, also by several processes.

    A line that a kill cut short is left out, and made anew.

    Args:
        path: the file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Row]:
        """Return all whole rows; of two with one key the later."""
        lines = self.path.read_text().splitlines() if self.path.is_file() else []
        return list({key_of(row): row for row in filter(None, map(_parsed, lines))}.values())

    def has(self, row: Row) -> bool:
        """Whether the row with these keys is there. One that names no evaluation sets is older than their name in rows, and counts for any."""
        older = row | {"evaluation": None}
        return not {key_of(row), key_of(older)}.isdisjoint(map(key_of, self.read()))

    def add(self, row: Row) -> None:
        """Add a row at the end."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(row) + "\n"
        if self.path.is_file() and self.path.read_bytes()[-1:] not in (b"", b"\n"):
            line = "\n" + line
        with open(self.path, "ab", buffering=0) as stream:
            stream.write(line.encode())
            os.fsync(stream.fileno())


def _parsed(line: str) -> Row | None:
    try:
        return dict(json.loads(line))
    except ValueError:
        return None


def key_of(row: Row) -> tuple[Any, ...]:
    """Return what tells a row from others."""
    return tuple(row.get(name) for name in KEY)


@dataclass(frozen=True)
class Point:
    """A reference and what learners gained by it.

    Attributes:
        row: of the reference. gains: by method in points, over uniform and over the filter; NaN where there is no such run.
    """

    row: Row
    gains: dict[str, tuple[float, float]]

    @property
    def auc(self) -> Estimate:
        """Of held-out pairs against exchanged ones."""
        return _estimate((self.row["check"].get("auc") or {}).get("pair", {}).get("all"))

    @property
    def recall(self) -> Estimate:
        """R@1 in 64 on held-out pairs."""
        return _estimate(self.row["check"]["recall"]["held_out"])

    @property
    def verdict(self) -> str:
        """By the lines as they are drawn now, not as they were when the reference was checked."""
        found, trained = self.row["check"], self.row["check"]["recall"]["training"]
        pairs = found["pairs"]
        known = None if trained is None else _estimate(trained)
        evidence = Evidence(self.auc, self.recall, known, pairs["held_out"], pairs["training"], found["recall"]["of"])
        return judge(evidence).name


def _estimate(found: dict[str, Any] | None) -> Estimate:
    values = {name: math.nan if value is None else value for name, value in (found or {}).items()}
    return Estimate(**{"value": math.nan, "low": math.nan, "high": math.nan, "pairs": 0} | values)


@dataclass(frozen=True)
class Block:
    """One table: a pool, its references, and learners of one number of steps, by one measure on test.

    Attributes:
        points: by strength. base: uniform, per cent; NaN without a run. measure: one of `MEASURES`.
    """

    world: str
    steps: int
    measure: str
    base: float
    points: list[Point]

    @property
    def methods(self) -> list[str]:
        """All that gained anything anywhere, the filter first."""
        found = {method for point in self.points for method in point.gains}
        return sorted(found, key=lambda method: (method not in SIMPLE, method))


def blocks(rows: list[Row], measure: str) -> list[Block]:
    """Put references and learners together, a block a pool, its evaluation sets and number of steps."""
    return [block for key in _measured_on(rows) for block in _blocks(key, rows, measure)]


Sets = tuple[str, str, str | None]  # a world, its pool, its evaluation sets


def _measured_on(rows: list[Row]) -> list[Sets]:
    """List the sets that rows name, and pools of which none names its evaluation sets."""
    found = {(row["world"], row["pool"], row.get("evaluation")) for row in rows}
    named = {key[:2] for key in found if key[2] is not None}
    return sorted((key for key in found if key[2] is not None or key[:2] not in named), key=str)


def _blocks(key: Sets, rows: list[Row], measure: str) -> Iterator[Block]:
    """Yield the blocks of some sets. Rows that name no evaluation sets are in those of any."""
    learners, references = defaultdict(list), list[Row]()
    for row in rows:
        if (row["world"], row["pool"]) == key[:2] and row.get("evaluation") in (key[2], None):
            (learners[row["steps"]] if row["kind"] == "learner" else references).append(row)
    for steps, own in sorted(learners.items()):
        block = _block(key[0], steps, own, references, measure)
        if block is not None:
            yield block


def _block(world: str, steps: int, learners: list[Row], references: list[Row], measure: str) -> Block | None:
    by_seed = _tuned(learners, measure)
    if not by_seed:
        return None
    uniform = by_seed.get((None, UNIFORM), {})
    points = [Point(row, dict(_gains(by_seed, row["reference"], uniform))) for row in references]
    points = sorted(points, key=lambda point: (point.recall.value, point.row["label"]))
    base = 100 * fmean(uniform.values()) if uniform else math.nan
    return Block(world, steps, measure, base, [point for point in points if point.gains])


Values = dict[tuple[str | None, str], dict[int, float]]  # of a reference's hash and a method: the test measure by seed


def _tuned(learners: list[Row], measure: str) -> Values:
    """Return each method's test measure by seed; of several learning rates the one that validation prefers, by the headline."""
    rates: dict[tuple[str | None, str], dict[float, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in learners:
        if not math.isnan(mean_of(row["test"], MEASURES[measure])):
            rates[row["reference"], row["method"]][row["rate"]].append(row)
    best = {key: max(of_rate.values(), key=_standing) for key, of_rate in rates.items()}
    return {key: {row["seed"]: mean_of(row["test"], MEASURES[measure]) for row in own} for key, own in best.items()}


def _standing(rows: list[Row]) -> tuple[int, float]:
    return len(rows), fmean(row["validation"]["headline"] for row in rows)


def _gains(values: Values, reference: str, uniform: dict[int, float]) -> Iterator[tuple[str, tuple[float, float]]]:
    kept = values.get((reference, FILTER), {})
    for (of, method), by_seed in values.items():
        if of == reference:
            yield method, (gain(by_seed, uniform), gain(by_seed, kept))


def gain(by_seed: dict[int, float], base: dict[int, float]) -> float:
    """Return the mean difference over the seeds that both have, in points; NaN where they share none."""
    both = [seed for seed in by_seed if seed in base]
    return 100 * fmean(by_seed[seed] - base[seed] for seed in both) if both else math.nan


def told(block: Block) -> str:
    """Return a block as a table: each reference's strength and verdict, and by method the gain over uniform / over the filter."""
    measure = NAMES[block.measure]
    header = [
        f"{block.world}, {block.steps:,} steps: {measure}",
        "own %",
        "AUC",
        "R@1 in 64 %",
        "verdict",
        *block.methods,
    ]
    lines = [[UNIFORM, f"{block.base:.1f}", "", "", "", *[""] * len(block.methods)]]
    for point in block.points:
        own = 100 * mean_of(point.row["test"], MEASURES[block.measure])
        strength = [f"{own:.1f}", f"{point.auc.value:.2f}", f"{100 * point.recall.value:.0f}", point.verdict]
        gains = [_cell(method, point.gains.get(method)) for method in block.methods]
        lines.append([point.row["label"], *strength, *gains])
    return table(header, lines)


def _cell(method: str, gains: tuple[float, float] | None) -> str:
    if gains is None:
        return "–"
    told = ("–" if value != value else f"{round(value, 1) + 0.0:+.1f}" for value in gains)  # + 0.0: no -0.0
    return " / ".join(list(told)[: 1 if method == FILTER else 2])


def figures(block: Block) -> dict[str, Any]:
    """Return a block for the line of JSON."""
    points = [
        {"reference": one.row["label"], "recall": one.recall.value, "auc": one.auc.value, "verdict": one.verdict}
        | {"gains": {method: {"uniform": _known(u), "filter": _known(f)} for method, (u, f) in one.gains.items()}}
        for one in block.points
    ]
    return {"steps": block.steps, "measure": block.measure, "uniform": _known(block.base), "references": points}


def _known(value: float) -> float | None:
    return None if value != value else round(value, 3)


def draw(found: list[Block], path: Path) -> None:
    """Draw the gain over uniform against the reference's held-out R@1 in 64, a panel a block, the verdict's lines dotted."""
    from superbatch.reporting.figures import png
    from superbatch.reporting.figures.canvas import legend_above, new_figure
    from superbatch.reporting.theme import LIGHT, styles

    methods = {(method, "simple" if method in SIMPLE else "selecting") for block in found for method in block.methods}
    drawn = styles(methods, LIGHT)
    figure, axes = new_figure(LIGHT, columns=len(found), height=3.8)
    for ax, block in zip(axes, found, strict=True):
        ax.axhline(0, color=LIGHT.text, lw=1.2)
        for words, line in THRESHOLDS["recall"]._asdict().items():
            ax.axvline(100 * line, color=LIGHT.muted, lw=1, ls=":")
            where = {"helps": ("left", "helps →"), "harms": ("right", "← would harm")}[words]
            ax.annotate(
                where[1],
                (100 * line, 0.99),
                xycoords=("data", "axes fraction"),
                ha=where[0],
                va="top",
                color=LIGHT.muted,
                fontsize=7,
            )
        for method in (name for name in drawn if name in block.methods):
            style = drawn[method]
            points = [(100 * p.recall.value, p.gains[method][0]) for p in block.points if method in p.gains]
            ax.plot(
                *zip(*points, strict=True), color=style.color, ls=style.line, lw=1.4, marker=style.marker, label=method
            )
        ax.set_title(f"{block.world}, {block.steps:,} steps", color=LIGHT.text, fontsize=10)
        ax.set_xlabel("reference's R@1 in 64, held-out pairs, %")
    axes[0].set_ylabel(f"{NAMES[found[0].measure]}: points over uniform")
    legend_above(figure, LIGHT)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(figure, transparent=False))
