"""A run's ledger and evaluations as points for trackers: read while the run writes them, and once it is finished.

A point is at the number of steps taken: the ledger's row of step s at s + 1, as the evaluation after it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SLICE = 200  # rows of a finished ledger that are turned into points at once


@dataclass(frozen=True)
class Point:
    """Numbers after so many steps, by name: `training/<column of the ledger>`, `validation/<set>/<metric>`."""

    steps: int
    values: dict[str, float]


def is_wanted(steps: int, every: int) -> bool:
    """Whether the ledger's row after so many steps is sent while a run goes on."""
    return steps == 1 or steps % every == 0


def of_ledger(row: dict[str, Any]) -> dict[str, float]:
    """Name the numbers of a ledger's row; those that are absent or not finite are left out."""
    numbers = {name: value for name, value in row.items() if name != "step" and value is not None}
    return {f"training/{name}": float(value) for name, value in numbers.items() if math.isfinite(value)}


def of_evaluation(row: dict[str, Any]) -> dict[str, float]:
    """Name one value of an evaluation."""
    value = row["value"]
    return {f"{row['split']}/{row['name']}": float(value)} if value is not None and math.isfinite(value) else {}


class Growing:
    """The records of a run that goes on: parts, and the tail since the last one.

    Args:
        records: their folder; it may not be there yet.
        every: as in the settings.
        after: points up to so many steps are not wanted.
    """

    def __init__(self, records: Path, every: int, after: int) -> None:
        self.records, self.every, self.after = records, every, after
        self._waiting: dict[int, dict[str, float]] = {}
        self._newest = -1  # how many steps were taken, as far as the ledger has told
        self._part = after
        self._first, self._offset = b"", 0

    def new(self) -> list[Point]:
        """Return what is new since the last call, in order. The newest steps wait until later ones are there: an evaluation may follow."""
        self._read_tail()  # the tail is read before the parts: rows that leave the tail are by then in a part
        self._read_parts()
        ready = sorted(steps for steps in self._waiting if steps < self._newest)
        points = [Point(steps, self._waiting.pop(steps)) for steps in ready]
        self.after = max(self.after, self._newest - 1)
        return [point for point in points if point.values]

    def _read_tail(self) -> None:
        """Read on in the tail; it begins anew after each part, which its first line shows."""
        try:
            with open(self.records / "tail.jsonl", "rb") as stream:
                first = stream.readline()
                if first != self._first:
                    self._first, self._offset = first, 0
                stream.seek(self._offset)
                text = stream.read()
        except FileNotFoundError:
            return
        whole = text.rfind(b"\n") + 1  # the last line may be incomplete
        self._offset += whole
        for line in text[:whole].splitlines():
            self._add(json.loads(line))

    def _read_parts(self) -> None:
        """Read the parts that are new; the evaluations' is the last that is written."""
        for part in sorted(self.records.glob("evaluations-*.parquet")):
            number = int(part.stem.rpartition("-")[2])
            if number > self._part:
                try:
                    tables = [
                        pq.read_table(self.records / f"{name}-{number:09d}.parquet")
                        for name in ("ledger", "evaluations")
                    ]
                except FileNotFoundError:  # no state vouches for it, so a run that goes on has dropped it
                    continue
                for row in (row for table in tables for row in table.to_pylist()):
                    self._add(row)
                self._part = number

    def _add(self, row: dict[str, Any]) -> None:
        if "name" in row:
            steps, values = row["step"], of_evaluation(row)
        else:
            steps = row["step"] + 1
            self._newest = max(self._newest, steps)
            values = of_ledger(row) if is_wanted(steps, self.every) else {}
        if steps > self.after and values:
            self._waiting.setdefault(steps, {}).update(values)


class Whole:
    """The records of a finished run, in memory: their directory may move.

    Args:
        training: the directory. every: as in the settings.
    """

    def __init__(self, training: Path, every: int) -> None:
        ledger, evaluations = (pq.read_table(training / f"{name}.parquet") for name in ("ledger", "evaluations"))
        self.steps = int(pc.max(ledger["step"]).as_py() or 0) + 1 if len(ledger) else 0
        wanted = [is_wanted(step + 1, every) or step + 1 == self.steps for step in ledger["step"].to_pylist()]
        self._ledger, self._evaluations = ledger.filter(pa.array(wanted, pa.bool_())), evaluations

    def points(self, after: int) -> Iterator[Point]:
        """Return the points after so many steps, in order."""
        evaluated: dict[int, dict[str, float]] = {}
        for row in self._evaluations.filter(pc.greater(self._evaluations["step"], after)).to_pylist():
            evaluated.setdefault(row["step"], {}).update(of_evaluation(row))
        for row in _in_slices(self._ledger.filter(pc.greater_equal(self._ledger["step"], after))):
            steps = row["step"] + 1
            for earlier in sorted(one for one in evaluated if one < steps):
                yield Point(earlier, evaluated.pop(earlier))
            yield Point(steps, of_ledger(row) | evaluated.pop(steps, {}))
        for later in sorted(evaluated):
            yield Point(later, evaluated[later])


def _in_slices(table: pa.Table) -> Iterable[dict[str, Any]]:
    for start in range(0, len(table), SLICE):
        yield from table.slice(start, SLICE).to_pylist()
