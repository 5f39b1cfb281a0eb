"""The best rows of all, or of each group, without sorting all scores: selection by digits, and dealing out where groups are many.

Both keep the very rows that sorting would: the highest scores, ties by row, NaN last.

Legend: N rows, n rows of a piece, C groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from superbatch.artifacts.scratch import pieces, scratch
from superbatch.curation.dealt import dealt
from superbatch.curation.groups import rank_within
from superbatch.curation.keys import best_first

# Pieces in order of rows, from the start at each call: scores (n,) of one type, and the number of each row's group, int (n,), -1 for a
# row that is left aside.
Again = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]
CELLS = 1 << 22  # that are counted into at a time, of 8 bytes: groups by values of a digit
MOST_BITS = 16  # of a digit


def arrays(scores_N: np.ndarray, group_N: np.ndarray | None = None) -> Again:
    """Read scores and groups out of arrays, mapped ones too; without groups all rows are in one."""

    def again() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for piece in pieces(len(scores_N)):
            scores_n = scores_N[piece]
            yield scores_n, np.zeros(len(scores_n), np.int8) if group_N is None else group_N[piece]

    return again


def best_of_groups(again: Again, quota_C: np.ndarray) -> Iterator[np.ndarray]:
    """Tell which rows are among the best of their group, piece by piece, bool (n,).

    The border of each group is found digit by digit: its first bits in one pass over all rows, further ones in the next. Memory:
    CELLS counts, a few numbers a group, and a piece.

    Args:
        again: gives the rows, for each pass anew. quota_C: how many are to be kept of each group; all where it has no more.
    """
    quota_C = np.asarray(quota_C, np.int64)
    border_C, at_border_C = _borders(again, quota_C)
    for scores_n, group_n in again():
        key_n, open_n = best_first(scores_n), group_n >= 0
        border_n = border_C[group_n].astype(key_n.dtype)  # any number will do for a row that is left aside
        keep_n = open_n & (key_n < border_n)
        rows = np.flatnonzero(open_n & (key_n == border_n))
        own = group_n[rows]
        keep_n[rows[rank_within(np.zeros(len(rows)), own) < at_border_C[own]]] = True
        at_border_C -= np.minimum(at_border_C, np.bincount(own, minlength=len(quota_C)))
        yield keep_n


def _borders(again: Again, quota_C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the key of the last row that each group keeps, uint64 (C,), and how many rows of that key it keeps, int64 (C,)."""
    groups, done, width = len(quota_C), 0, 0
    border_C, left_C = np.zeros(groups, np.uint64), quota_C.copy()
    while not width or done < width:
        counts, bits = None, 0
        for scores_n, group_n in again():
            key_n = best_first(scores_n)
            width = 8 * key_n.dtype.itemsize
            bits = _bits(groups, width - done)
            counts = np.zeros(groups << bits, np.int64) if counts is None else counts
            _count(counts, key_n.astype(np.uint64), group_n, border_C if done else None, width - done, bits)
        if counts is None:
            break
        until_C = np.cumsum(counts.reshape(groups, -1), axis=1, out=counts.reshape(groups, -1))
        digit_C = np.minimum((until_C < left_C[:, None]).sum(axis=1), (1 << bits) - 1)
        before_C = np.where(digit_C > 0, until_C[np.arange(groups), digit_C - 1], 0)
        left_C = left_C - before_C
        border_C = (border_C << np.uint64(bits)) | digit_C.astype(np.uint64)
        done += bits
    return border_C, left_C


def _bits(groups: int, left: int) -> int:
    """Return how many bits the next digit has."""
    return max(1, min(MOST_BITS, left, (CELLS // max(1, groups)).bit_length() - 1))


def _count(
    counts: np.ndarray, key_n: np.ndarray, group_n: np.ndarray, border_C: np.ndarray | None, left: int, bits: int
) -> None:
    """Count each digit in each group, among keys that start like the group's border; `left` bits of the border are still unknown."""
    mine = group_n >= 0
    if border_C is not None:
        mine &= (key_n >> np.uint64(left)) == border_C[group_n]
    digit_n = (key_n[mine] >> np.uint64(left - bits)) & np.uint64((1 << bits) - 1)
    cells = (group_n[mine].astype(np.int64) << bits) + digit_n.astype(np.int64)
    counts += np.bincount(cells, minlength=len(counts))


def best_of_values(given: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], rows: int, most: int) -> np.ndarray:
    """Tell which rows are among the best of those with their value, bool (N,), however many values there are.

    Memory: a part of the rows (`dealt`), a piece, and a byte a row that may lie on disk. A value gives a part `most` rows of each piece at most.

    Args:
        given: pieces of row numbers, ascending, values and scores, (n,) each; rows that are not given are not kept.
        rows: N. most: rows to keep of each value.
    """
    found = scratch(rows, bool)
    for part in dealt(_best_of_piece(given, most), rows):
        whole = part.whole()
        found[whole["row"][rank_within(whole["score"], whole["value"]) < most]] = True
    return found


def _best_of_piece(given: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], most: int) -> Iterator[np.ndarray]:
    """Drop rows that are not among the best of their own piece."""
    for row_n, value_n, score_n in given:
        some = np.flatnonzero(rank_within(score_n, value_n) < most)
        kind = [("row", np.int64), ("value", value_n.dtype), ("score", score_n.dtype)]
        records = np.empty(len(some), kind)
        records["row"], records["value"], records["score"] = row_n[some], value_n[some], score_n[some]
        yield records
