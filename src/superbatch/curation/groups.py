"""Groups of rows, made by joining pairs, and ranks by score within them.

Legend: N rows of a set.
"""

from __future__ import annotations

import numpy as np


class Groups:
    """Rows joined by pairs, directly or through others (union-find); each group goes by its first row.

    Args:
        rows: N.
    """

    def __init__(self, rows: int) -> None:
        self._parent_N = np.arange(rows)  # the parent of a row is never behind it

    def join(self, left_n: np.ndarray, right_n: np.ndarray) -> None:
        """Put the two rows of each pair into one group; int64 (n,) both."""
        while len(left_n):
            left_n, right_n = self._first(left_n), self._first(right_n)
            apart = left_n != right_n
            left_n, right_n = left_n[apart], right_n[apart]
            # Of several pairs with one root the smallest wins; the others come round again.
            np.minimum.at(self._parent_N, np.maximum(left_n, right_n), np.minimum(left_n, right_n))

    def first(self) -> np.ndarray:
        """Return the first row of each row's group, int64 (N,): its own number where it is alone or comes first."""
        return self._first(np.arange(len(self._parent_N)))

    def _first(self, rows_n: np.ndarray) -> np.ndarray:
        found = self._parent_N[rows_n]
        while not np.array_equal(above := self._parent_N[found], found):
            found = above
        self._parent_N[rows_n] = found
        return found


def first_equal(values_N: np.ndarray) -> np.ndarray:
    """Return the first row that has each row's value, int64 (N,)."""
    _, first, which_N = np.unique(values_N, return_index=True, return_inverse=True)
    found: np.ndarray = first[which_N].astype(np.int64)
    return found


def rank_within(scores_N: np.ndarray, group_N: np.ndarray) -> np.ndarray:
    """Return each row's place in its group, int64 (N,): 0 has the highest score; ties break by row, NaN comes last."""
    order = np.lexsort((-scores_N.astype(np.float64), group_N))  # whole numbers without a sign would turn round
    _, first, sizes = np.unique(group_N[order], return_index=True, return_counts=True)
    rank_N = np.empty(len(order), np.int64)
    rank_N[order] = np.arange(len(order)) - np.repeat(first, sizes)
    return rank_N


def kept_count(rows: int, share: float) -> int:
    """Return how many of the rows a share is: one at least."""
    return max(1, round(share * rows))
