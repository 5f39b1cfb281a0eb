"""Some rows of a set as a bit for each row of it: an eighth of a byte a row, where their numbers would take eight bytes each.

The n-th of them is found by counting: whole lines of bits before it first, then words, then bits.

Legend: N rows of the set, n positions asked for, L lines of 512 bits, W words of a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

WORDS = 8  # of 64 bits, in a line
LINE = 64 * WORDS
AT_ONCE = 1 << 16  # positions that are looked up at a time
PIECE_LINES = 1 << 11  # whose rows are listed at a time
_HALVES = [(np.uint64(width), np.uint64((1 << width) - 1)) for width in (32, 16, 8, 4, 2, 1)]


class RowSet:
    """Some rows of a set, ascending; the places of n of them give their numbers, as those of an array of all would.

    Args:
        taken: whether each row is one of them, in order of rows, bool, in pieces of any size.
    """

    def __init__(self, taken: Iterable[np.ndarray]) -> None:
        self._hold(_packed(taken))

    def _hold(self, words: np.ndarray) -> None:
        self._bits_LW = words.reshape(-1, WORDS)
        counts_L = np.bitwise_count(self._bits_LW).sum(axis=1, dtype=np.int64)
        self._before_L = np.concatenate([[0], np.cumsum(counts_L)])  # rows in the lines before each, and in all

    def __len__(self) -> int:
        return int(self._before_L[-1])

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        """Return the rows at these places, int64 of the same shape."""
        flat = np.asarray(places, np.int64).ravel()
        assert not len(flat) or (flat.min() >= 0 and flat.max() < len(self)), "a place outside the rows"
        found = np.empty(len(flat), np.int64)
        for start in range(0, len(flat), AT_ONCE):
            found[start : start + AT_ONCE] = self._rows_at(flat[start : start + AT_ONCE])
        return found.reshape(np.shape(places))

    def __iter__(self) -> Iterator[int]:
        return (row for rows in self.pieces() for row in rows.tolist())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return the numbers of all rows, int64: eight bytes each."""
        return np.concatenate([np.empty(0, np.int64), *self.pieces()]).astype(dtype or np.int64, copy=False)

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self._bits_LW.nbytes + self._before_L.nbytes

    def pieces(self) -> Iterator[np.ndarray]:
        """Yield the rows in order, int64, some at a time."""
        for line in range(0, len(self._bits_LW), PIECE_LINES):
            words = np.ascontiguousarray(self._bits_LW[line : line + PIECE_LINES]).astype("<u8", copy=False)
            yield line * LINE + np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))

    def without(self, rows: np.ndarray) -> RowSet:
        """Return the others of them.

        Args:
            rows: some of them, int64, each once.
        """
        word, bit = np.divmod(np.asarray(rows, np.int64), 64)
        words, found = self._bits_LW.ravel().copy(), RowSet(())
        np.bitwise_and.at(words, word, ~(np.uint64(1) << bit.astype(np.uint64)))
        found._hold(words)
        return found

    def _rows_at(self, places_n: np.ndarray) -> np.ndarray:
        line_n = np.searchsorted(self._before_L, places_n, side="right") - 1
        left_n = places_n - self._before_L[line_n]  # how many of the line's rows lie before
        words_nW = self._bits_LW[line_n]
        until_nW = np.cumsum(np.bitwise_count(words_nW), axis=1, dtype=np.int64)
        word_n = (until_nW <= left_n[:, None]).sum(axis=1)
        each = np.arange(len(places_n))
        word_bits_n = words_nW[each, word_n]
        left_n = left_n - until_nW[each, word_n] + np.bitwise_count(word_bits_n)
        return line_n * LINE + 64 * word_n + _nth_bit(word_bits_n, left_n)


def _packed(taken: Iterable[np.ndarray]) -> np.ndarray:
    """Pack truth values into words of whole lines, uint64; the first is the lowest bit of the first word."""
    parts, rest = [np.empty(0, np.uint8)], np.empty(0, bool)
    for piece in taken:
        both = np.concatenate([rest, piece])
        whole = len(both) - len(both) % 8
        parts.append(np.packbits(both[:whole], bitorder="little"))
        rest = both[whole:]
    parts.append(np.packbits(rest, bitorder="little"))
    size = sum(map(len, parts))
    parts.append(np.zeros(-size % (LINE // 8), np.uint8))
    return np.concatenate(parts).view("<u8").astype(np.uint64, copy=False)


def _nth_bit(words_n: np.ndarray, place_n: np.ndarray) -> np.ndarray:
    """Return the position of the n-th set bit of each word, int64 (n,), by bisection."""
    words_n, place_n = words_n.copy(), place_n.copy()
    found_n = np.zeros(len(words_n), np.int64)
    for width, mask in _HALVES:
        below_n = np.bitwise_count(words_n & mask).astype(np.int64)
        upper = place_n >= below_n
        place_n -= np.where(upper, below_n, 0)
        found_n += np.where(upper, int(width), 0)
        words_n = np.where(upper, words_n >> width, words_n & mask)
    return found_n
