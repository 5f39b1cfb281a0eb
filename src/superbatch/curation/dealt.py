"""Rows dealt out by a value, so that all rows of one value are in one part: what concerns equal values is then done part by part.

Parts are files without a name, unless one part is enough. Values are dealt by a hash of them, so that parts have about as many distinct
values each, whatever these are. How often a value occurs does not matter to whoever reads a part piece by piece.

Legend: N rows, n rows of a piece.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from superbatch.artifacts.atomic import told_if_full
from superbatch.artifacts.scratch import PIECE, pieces, scratch, scratch_folder
from superbatch.curation.keys import ascending
from superbatch.data.order import mix

PART_ROWS = 1 << 21  # rows a part, about
MOST_PARTS = 256  # files that are open at a time
Values = Iterable[np.ndarray]  # pieces of a column of N values, in order of rows


@dataclass
class Part:
    """Some of the rows: `row` (int64) and `value`, and what else they were given with, in order of rows."""

    kind: np.dtype
    _file: IO[bytes] | None = None
    _held: list[np.ndarray] = field(default_factory=list)

    def add(self, records: np.ndarray) -> None:
        """Put further rows behind."""
        if self._file is None:
            self._held.append(records)
        elif len(records):
            self._file.write(records.tobytes())

    def pieces(self) -> Iterator[np.ndarray]:
        """Yield the rows, some at a time."""
        if self._file is None:
            yield from (held for held in self._held if len(held))
            return
        self._file.seek(0)
        while data := self._file.read(PIECE * self.kind.itemsize):
            yield np.frombuffer(data, self.kind)

    def whole(self) -> np.ndarray:
        """Return all rows at once."""
        found = list(self.pieces())
        return np.concatenate(found) if found else np.empty(0, self.kind)


def dealt(records: Iterable[np.ndarray], rows: int) -> Iterator[Part]:
    """Deal rows out by their `value`.

    Args:
        records: pieces of a structured array with the fields `row` and `value`, and others. rows: how many there are, at most.
    """
    count = min(MOST_PARTS, -(-rows // PART_ROWS)) or 1
    with ExitStack() as stack:
        parts: list[Part] = []
        for piece in records:
            if not parts:
                files = [_file(stack) for _ in range(count)] if count > 1 else [None]
                parts = [Part(piece.dtype, file) for file in files]
            with told_if_full(Path(scratch_folder())):
                _deal(piece, parts)
        yield from parts


def _file(stack: ExitStack) -> IO[bytes]:
    return stack.enter_context(tempfile.TemporaryFile(dir=scratch_folder()))


def _deal(piece: np.ndarray, parts: list[Part]) -> None:
    if len(parts) == 1:
        parts[0].add(piece)
        return
    part_n = (mix(_number(piece["value"])) % np.uint64(len(parts))).astype(np.int16)
    order = np.argsort(part_n, kind="stable")
    ends = np.cumsum(np.bincount(part_n, minlength=len(parts)))
    for part, some in zip(parts, np.split(order, ends[:-1]), strict=True):
        part.add(piece[some])


def _number(value_n: np.ndarray) -> np.ndarray:
    """Return a whole number for each value, the same for equal ones, uint64 (n,)."""
    if value_n.dtype.kind == "S":  # digests are already random
        wide = np.ascontiguousarray(value_n).view(np.uint8).reshape(len(value_n), -1)
        return np.ascontiguousarray(wide[:, :8]).view(np.uint64)[:, 0]
    return ascending(value_n)


def with_rows(values: Values, **more: Values) -> Iterator[np.ndarray]:
    """Put row numbers to values and to what belongs to them: pieces for `dealt`."""
    start, names = 0, ["row", "value", *more]
    for columns in zip(values, *more.values(), strict=True):
        rows = np.arange(start, start + len(columns[0]))
        kind = np.dtype([(name, column.dtype) for name, column in zip(names, (rows, *columns), strict=True)])
        records = np.empty(len(rows), kind)
        for name, column in zip(names, (rows, *columns), strict=True):
            records[name] = column
        yield records
        start += len(rows)


def first_equal(values: np.ndarray | Values, rows: int | None = None) -> np.ndarray:
    """Return the first row that has each row's value, int64 (N,).

    Args:
        values: N of them, or pieces of them; strings of bytes must be digests. rows: N, where they come in pieces.
    """
    count, given = _given(values, rows)
    found = scratch(count, np.int64)
    for part in dealt(with_rows(given), count):
        known, first = np.empty(0), np.empty(0, np.int64)
        for piece in part.pieces():
            both = piece["value"] if not len(known) else np.concatenate([known, piece["value"]])
            known, place = np.unique(both, return_index=True)
            first = np.concatenate([first, piece["row"]])[place]
        for piece in part.pieces():
            found[piece["row"]] = first[np.searchsorted(known, piece["value"])]
    return found


def how_often(values: np.ndarray | Values, rows: int | None = None) -> np.ndarray:
    """Return how many rows have each row's value, int32 (N,); else as `first_equal`."""
    count, given = _given(values, rows)
    found = scratch(count, np.int32)
    for part in dealt(with_rows(given), count):
        known, often = np.empty(0), np.empty(0, np.int64)
        for piece in part.pieces():
            own, counts = np.unique(piece["value"], return_counts=True)
            both = own if not len(known) else np.concatenate([known, own])
            known, which = np.unique(both, return_inverse=True)
            often = np.bincount(which, np.concatenate([often, counts])).astype(np.int64)
        for piece in part.pieces():
            found[piece["row"]] = often[np.searchsorted(known, piece["value"])]
    return found


def _given(values: np.ndarray | Values, rows: int | None) -> tuple[int, Values]:
    if isinstance(values, np.ndarray):
        return len(values), (values[piece] for piece in pieces(len(values)))
    assert rows is not None, "how many there are must be said"
    return rows, values
