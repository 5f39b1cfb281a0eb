"""Counter-based randomness: every draw is a pure function of (seed, stream, index, slot).

Nothing depends on the order of draws, on the shard or on the number of processes: pair 17 of the pool is the same
picture wherever it is rendered. The mixing is SplitMix64's finaliser (Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", 2014).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_Item = TypeVar("_Item")

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_TO_UNIT = 2.0**-53


def mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit words of any shape (a bijection)."""
    with np.errstate(over="ignore"):
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def _word(text: str) -> np.uint64:
    """Turn a name into a constant; CRC-32 because Python's own `hash` differs from process to process."""
    return np.uint64(zlib.crc32(text.encode()))


class Draws:
    """Random numbers for the members `index` of one stream.

    Args:
        seed: the data set's seed.
        stream: name of the split or purpose; other names give independent numbers.
        index: int64[n], the members' numbers inside the stream.
    """

    def __init__(self, seed: int, stream: str, index: NDArray[np.integer]) -> None:
        self.index: Ints = np.asarray(index, dtype=np.int64)
        with np.errstate(over="ignore"):
            base = mix(np.array([seed % 2**64], dtype=np.uint64) + _word(stream) * _GOLDEN)
            self._keys = mix(base + self.index.astype(np.uint64) * _GOLDEN + np.uint64(1))

    def __len__(self) -> int:
        return len(self.index)

    def bits(self, slot: str) -> NDArray[np.uint64]:
        """Return uint64[n] for the draw of this name."""
        return mix(self._keys ^ mix(np.array([_word(slot)]) * _GOLDEN))

    def uniform(self, slot: str, low: float = 0.0, high: float = 1.0) -> Floats:
        """Return float64[n], uniform in [low, high)."""
        return low + (high - low) * ((self.bits(slot) >> np.uint64(11)).astype(np.float64) * _TO_UNIT)

    def integers(self, slot: str, count: int | NDArray[np.integer]) -> Ints:
        """Return int64[n], uniform in 0..count-1; `count` may differ from member to member."""
        return np.floor(self.uniform(slot) * count).astype(np.int64)

    def weighted(self, slot: str, weights: Sequence[float] | Floats) -> Ints:
        """Return int64[n], each drawn in proportion to the weights."""
        steps = np.cumsum(np.asarray(weights, dtype=np.float64))
        return np.searchsorted(steps / steps[-1], self.uniform(slot), side="right").clip(max=len(steps) - 1)

    def table(self, slot: str, columns: int) -> Floats:
        """Return float64[n, columns], uniform in [0, 1)."""
        with np.errstate(over="ignore"):
            counters = np.arange(1, columns + 1, dtype=np.uint64) * _GOLDEN
            words = mix(self.bits(slot)[:, None] + counters)
        return (words >> np.uint64(11)).astype(np.float64) * _TO_UNIT

    def subset(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Draws:
        """Return the draws of some of the members."""
        part = object.__new__(Draws)
        part.index, part._keys = self.index[rows], self._keys[rows]
        return part


class Dice:
    """One member's draws, taken one after the other: for text, which is put together word by word."""

    def __init__(self, row: Sequence[float]) -> None:
        self._row, self._next = row, 0

    def unit(self) -> float:
        """Return the next number in [0, 1); the row starts again when it is used up."""
        value = self._row[self._next]
        self._next = (self._next + 1) % len(self._row)
        return value

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.unit() < probability

    def below(self, count: int) -> int:
        """Return a whole number in 0..count-1."""
        return int(self.unit() * count)

    def pick(self, options: Sequence[_Item]) -> _Item:
        """Return one of the options."""
        return options[int(self.unit() * len(options))]

    def shuffled(self, items: Sequence[_Item]) -> list[_Item]:
        """Return the items in random order (Fisher-Yates)."""
        result = list(items)
        for last in range(len(result) - 1, 0, -1):
            other = self.below(last + 1)
            result[last], result[other] = result[other], result[last]
        return result


def permutation(seed: int, stream: str, count: int) -> Ints:
    """Return a random order of 0..count-1 that depends on seed and stream only."""
    return np.argsort(Draws(seed, stream, np.arange(count)).bits("order"), kind="stable")
