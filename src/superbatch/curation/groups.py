"""Groups of rows, made by joining pairs, and ranks by score within them.

Legend: N rows of a set.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from superbatch.artifacts.scratch import pieces, scratch


class Groups:
    """Rows joined by pairs, directly or through others (union-find); each group goes by its first row.

    Args:
        rows: N.
    """

    def __init__(self, rows: int) -> None:
        self._parent_N = scratch(rows, np.int64)  # a row's parent never comes after the row
        for piece in pieces(rows):
            self._parent_N[piece] = np.arange(piece.start, piece.stop)

    def join(self, left_n: np.ndarray, right_n: np.ndarray) -> None:
        """Put the two rows of each pair into one group; int64 (n,) both."""
        while len(left_n):
            left_n, right_n = self._first(left_n), self._first(right_n)
            apart = left_n != right_n
            left_n, right_n = left_n[apart], right_n[apart]
            # Of several pairs with one root the smallest wins; the others are tried again in the next round.
            np.minimum.at(self._parent_N, np.maximum(left_n, right_n), np.minimum(left_n, right_n))

    def first(self) -> np.ndarray:
        """Return the first row of each row's group, int64 (N,): its own number where it is alone or comes first.

        It is the groups' own array, which joining further pairs changes.
        """
        for piece in pieces(len(self._parent_N)):
            self._first(np.arange(piece.start, piece.stop))
        return self._parent_N

    def _first(self, rows_n: np.ndarray) -> np.ndarray:
        found = self._parent_N[rows_n]
        while not np.array_equal(above := self._parent_N[found], found):
            found = above
        self._parent_N[rows_n] = found
        return found


def by_number(number_N: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Yield the rows of each number that occurs, ascending, int64: those of the smallest first.

    Args:
        number_N: from 0 to `count` - 1.
    """
    sizes, rows = np.zeros(count, np.int64), scratch(len(number_N), np.int64)
    for piece in pieces(len(number_N)):
        sizes += np.bincount(number_N[piece], minlength=count)
    ends = np.cumsum(sizes)
    filled = ends - sizes
    for piece in pieces(len(number_N)):
        order = np.argsort(number_N[piece], kind="stable")
        own = number_N[piece][order]
        here = np.bincount(own, minlength=count)
        rows[filled[own] + np.arange(len(own)) - (np.cumsum(here) - here)[own]] = piece.start + order
        filled += here
    return (np.array(rows[end - size : end]) for size, end in zip(sizes, ends, strict=True) if size)


def rank_within(scores_N: np.ndarray, group_N: np.ndarray) -> np.ndarray:
    """Return each row's place in its group, int64 (N,): 0 has the highest score; ties break by row, NaN comes last."""
    order = np.lexsort((-scores_N.astype(np.float64), group_N))  # unsigned integers would wrap around
    _, first, sizes = np.unique(group_N[order], return_index=True, return_counts=True)
    rank_N = np.empty(len(order), np.int64)
    rank_N[order] = np.arange(len(order)) - np.repeat(first, sizes)
    return rank_N


def kept_count(rows: int, share: float) -> int:
    """Return how many of the rows a share is: one at least."""
    return max(1, round(share * rows))
