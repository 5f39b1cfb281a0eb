"""The rows of super-batch s: a pure function of (seed, s, B, number of rows, shuffle window).

The shuffle is a keyed permutation (a Feistel network over a grid of about sqrt(rows) by sqrt(rows), walked on where it
leaves the rows), so any position of any epoch is computed by itself: no array of all rows, and the loader's state is
one integer.

Legend: B super-batch size; B_s rows of it that are looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from superbatch.errors import UserError
from superbatch.options import Rule, SelectionSettings

ROUNDS = 8
JOINED = 4  # one of the keys of rows that join; windows have 1 to 3, and epochs of rows that join leave it out
MORE = 5  # the key of an order to which rows were added
_MASK = (1 << 64) - 1


def mix(values: np.ndarray) -> np.ndarray:
    """Scramble uint64 values with splitmix64's finaliser (Steele et al., 2014)."""
    values = np.asarray(values) + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = values ^ (values >> np.uint64(31))
    return mixed


def round_keys(*words: int, count: int = ROUNDS) -> np.ndarray:
    """Derive `count` uint64 keys from integers of any size and sign."""
    state = np.zeros(1, np.uint64)
    for word in words:
        state = mix(state ^ np.array([word & _MASK], np.uint64))
    return mix(state + np.arange(1, count + 1, dtype=np.uint64))


def permute(positions: np.ndarray, size: int, keys: np.ndarray) -> np.ndarray:
    """Map positions in [0, size) one-to-one onto [0, size).

    Args:
        positions: integers of any shape.
        size: at least 1.
        keys: uint64, one a round.

    Returns:
        int64 of the same shape.
    """
    height = math.isqrt(size - 1) + 1  # ceil(sqrt(size)): the grid holds at most 2 sqrt(size) cells too many
    width = -(-size // height)
    result = _feistel(np.asarray(positions, np.uint64), height, width, keys)
    outside = result >= size
    while outside.any():  # cycle walking: the few positions outside the rows go through the permutation again
        result[outside] = _feistel(result[outside], height, width, keys)
        outside = result >= size
    return result.astype(np.int64)


def _feistel(values: np.ndarray, height: int, width: int, keys: np.ndarray) -> np.ndarray:
    left, right = np.divmod(values, np.uint64(width))
    for i, key in enumerate(keys):
        if i % 2 == 0:
            left = (left + mix(right ^ key) % np.uint64(height)) % np.uint64(height)
        else:
            right = (right + mix(left ^ key) % np.uint64(width)) % np.uint64(width)
    return left * np.uint64(width) + right


@dataclass(frozen=True)
class Candidates:
    """How many rows of a super-batch are looked at over some steps: from `first` at the first to `last`, by one factor a step.

    Attributes:
        first, last: rows; either may be the larger.
        steps: how many, one after the other.
        over: the first of these steps, by the last of which it is `last`; None: all.
    """

    first: int
    last: int
    steps: int
    over: int | None = None

    @property
    def settles(self) -> int:
        """The first step, counted from the stretch's own, at which nothing changes any more; `steps` where that is none."""
        return self.steps if self.over is None else self.over

    def at(self, step: int) -> int:
        """Return how many at a step; after the last one as many as then."""
        done = min(1.0, step / max(1, self.settles - 1))
        return round(self.first ** (1 - done) * self.last**done)


def candidates_of(selection: SelectionSettings, batch_size: int, steps: int) -> tuple[Candidates, ...]:
    """Return how many rows the steps of a run look at, stretch by stretch; empty where all look at as many.

    Args:
        selection: the run's. batch_size: b. steps: of the whole run.
    """
    parts = [_candidates(rule, batch_size, len(span)) for span, rule in selection.stretches(steps)]
    return tuple(parts) if len({size for part in parts for size in (part.first, part.last)}) > 1 else ()


def _candidates(rule: Rule, batch_size: int, steps: int) -> Candidates:
    over = rule.settles(steps)
    return Candidates(*rule.sizes(batch_size), steps, None if over == steps else over)


@dataclass(frozen=True)
class Growth:
    """How a run comes to draw from all rows: at first from a few, chosen at random once, and from more by one factor a step.

    Attributes:
        first: the share of the rows at the first step. steps: the first step that draws from all.
    """

    first: float
    steps: int

    def rows_in(self, step: int, num_rows: int, least: int) -> int:
        """Return from how many rows a step before `steps` draws; `least` at least."""
        return max(least, round(num_rows * self.first ** (1 - step / self.steps)))


def growth_of(first_share: float, grows_over: float, steps: int) -> Growth | None:
    """Return how the rows of a run grow by its settings; None where all are there from the start.

    Args:
        first_share, grows_over: as `TrainingSettings` has them. steps: of the whole run.
    """
    return None if first_share == 1 else Growth(first_share, max(1, round(grows_over * steps)))


def places_of_joining(num_rows: int, seed: int) -> np.ndarray:
    """Return the place that joins first, second and so on, where rows join: int64 (num_rows,), all of them."""
    return permute(np.arange(num_rows), num_rows, round_keys(seed, JOINED))


@dataclass(frozen=True)
class Order:
    """The super-batches of a run, by step.

    An epoch visits every row at most once and no super-batch straddles two epochs: the tail, `dropped_per_epoch` rows,
    other ones in each epoch, is left out. A step looks at the first rows of its super-batch; once the number of these no longer changes
    (`Candidates.settles`), super-batches are of that size and follow one another through whole epochs, so none of the pool is left aside.
    Where another stretch of steps comes after that, a new epoch begins.

    Args:
        seed: any integer.
        num_rows: rows to draw from.
        batch_size: rows a step, B.
        shuffle_window: 0 shuffles all rows together; W > 0 reads windows of W neighbouring rows one after the other,
            windows in random order and rows shuffled inside each (for data that is too large to read at random). Take
            W much larger than B.
        candidates: where not all of a super-batch is looked at: how many of its first rows are, one stretch of steps after the
            other.
        growth: where rows join during the run. Until all are in, each step draws anew from those that are; epochs begin then.
        after: the order that takes over, of more rows, and its first step, from which its own steps count (`with_more`). Its positions are
            behind all of this one's.

    Raises:
        UserError: B larger than the number of rows, or a size that makes no sense.
    """

    seed: int
    num_rows: int
    batch_size: int
    shuffle_window: int = 0
    candidates: tuple[Candidates, ...] = ()
    growth: Growth | None = None
    after: tuple[int, Order] | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UserError("super-batch", f"B = {self.batch_size} rows a step", "use 1 or more")
        if self.batch_size > self.num_rows:
            raise UserError(
                "super-batch",
                f"B = {self.batch_size:,} rows are more than the {self.num_rows:,} rows of the set",
                "lower batch_size or filter_ratio (B = b / (1 - f)), or add data",
            )
        if self.shuffle_window < 0:
            raise UserError("training.shuffle_window", f"{self.shuffle_window} is negative", "use 0 for all rows")

    def with_more(self, step: int, more: int) -> Order:
        """Return an order that takes in further rows: from a step on, or once all others have joined, it goes through epochs of all rows.

        Args:
            step: the first that may draw from all of them; B no longer changes from there on. more: how many there are besides.
        """
        first = step if self.growth is None else max(step, self.growth.steps)
        seed = int(round_keys(self.seed, MORE, count=1)[0])
        return replace(self, after=(first, Order(seed, self.num_rows + more, self.size(first), self.shuffle_window)))

    @property
    def steps_per_epoch(self) -> int:
        """Whole super-batches in one pass over the rows."""
        return self.num_rows // self.batch_size

    @property
    def dropped_per_epoch(self) -> int:
        """Rows left out at the end of each epoch, because they don't fill a super-batch."""
        return self.num_rows % self.batch_size

    def epoch(self, step: int) -> int:
        """Return the epoch, from 0, that a step belongs to; where rows join, both count from the first step that draws from all."""
        return step // self.steps_per_epoch

    def size(self, step: int) -> int:
        """Return how many rows of a step's super-batch are looked at, B_s: B, or as `candidates` says."""
        if self.after is not None and step >= self.after[0]:
            return self.after[1].size(step - self.after[0])
        if not self.candidates:
            return self.batch_size
        *parts, last = self.candidates
        for part in parts:
            if step < part.steps:
                return part.at(step)
            step -= part.steps
        return last.at(step)

    def largest(self, steps: range) -> int:
        """Return how many rows a step looks at, at most, of some steps within one stretch."""
        return max(self.size(steps[0]), self.size(steps[-1]))

    def looked_at(self, steps: range) -> int:
        """Return how many rows are looked at in some steps, with repeats."""
        return sum(map(self.size, steps)) if self.candidates else len(steps) * self.batch_size

    def rows(self, step: int, share: int = 0, shares: int = 1) -> np.ndarray:
        """Return the row numbers of a step's super-batch, int64 of shape (B_s,), all distinct.

        Args:
            step: from 0.
            share, shares: which of how many shares of nearly equal size to return; joined in order they are the whole.
        """
        if self.after is not None and step >= self.after[0]:
            return self.num_rows + self.after[1].rows(step - self.after[0], share, shares)
        size = self.size(step)
        assert step >= 0 and 0 <= share < shares <= size, "steps and shares count from 0"
        growing = self.growth is not None and step < self.growth.steps
        epoch, begin = (0, 0) if growing else self._place(step, size)
        first, last = (begin + size * i // shares for i in (share, share + 1))
        positions = np.arange(first, last, dtype=np.int64)
        if growing:
            return self._joined(positions, step, size)
        if 0 < self.shuffle_window < self.num_rows:
            return self._windowed(positions, epoch)
        return permute(positions, self.num_rows, round_keys(self.seed, epoch + self.leaves_out(epoch)))

    def last_epoch(self, steps: int) -> int:
        """Return the epoch in which the last of some steps lies; 0 while rows join."""
        return max(0, self._place(steps - 1, self.size(steps - 1))[0])

    def leaves_out(self, epoch: int) -> bool:
        """Whether an epoch's key is one further: rows that join do so in the order of one key, in which no epoch should come again."""
        return self.growth is not None and epoch >= JOINED

    def _joined(self, positions: np.ndarray, step: int, size: int) -> np.ndarray:
        """Draw a step's rows from those that have joined: the first ones of an order that stays."""
        assert self.growth is not None, "asked while rows join"
        joined = self.growth.rows_in(step, self.num_rows, size)
        drawn = permute(positions, joined, round_keys(self.seed, step, JOINED))
        return permute(drawn, self.num_rows, round_keys(self.seed, JOINED))

    def _place(self, step: int, size: int) -> tuple[int, int]:
        """Return the epoch in which a step's rows lie, and the position of the first of them.

        An epoch ends, whatever is left of it, where super-batches settle at a size and where such a stretch ends.
        """
        joining = 0 if self.growth is None else self.growth.steps
        step -= joining  # steps count from the first that draws from all
        end = -joining
        epoch = start = 0  # the first epoch, and its first step, since super-batches were last of this size
        for part in self.candidates:
            settles, end = max(0, end + part.settles), end + part.steps
            if settles >= end:
                continue
            if step < settles:
                break
            epoch, start = epoch + -(-(settles - start) // self.steps_per_epoch), settles
            per_epoch = self.num_rows // part.last
            if step < end:
                more, within = divmod(step - start, per_epoch)
                return epoch + more, within * size
            epoch, start = epoch + -(-(end - start) // per_epoch), end
        more, within = divmod(step - start, self.steps_per_epoch)
        return epoch + more, within * self.batch_size

    def _windowed(self, positions: np.ndarray, epoch: int) -> np.ndarray:
        """Permute windows, then rows inside each; the one short window comes last.

        A random rotation of all rows comes on top, so that the short window, and the dropped tail, lie elsewhere in
        each epoch.
        """
        size, full = self.shuffle_window, self.num_rows // self.shuffle_window
        window, inside = np.divmod(positions, size)
        rows = np.empty_like(positions)
        order = permute(np.arange(window[0], min(window[-1] + 1, full)), full, round_keys(self.seed, epoch, 1))
        for index in range(window[0], window[-1] + 1):
            mask = window == index
            target = int(order[index - window[0]]) if index < full else full
            length = size if index < full else self.num_rows - full * size
            rows[mask] = target * size + permute(inside[mask], length, round_keys(self.seed, epoch, 2, target))
        rotation = int(round_keys(self.seed, epoch, 3, count=1)[0] % np.uint64(self.num_rows))
        return (rows + rotation) % self.num_rows
