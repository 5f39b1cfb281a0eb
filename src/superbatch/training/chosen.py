"""Batches that the reference alone chooses (`easy_reference`): known from its cache before an image is read, so only theirs are.

Shapes: B super-batch, b sub-batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from superbatch.data.order import Order
from superbatch.selection import Selection
from superbatch.training.distributed import Ranks
from superbatch.training.exchange import in_line


@dataclass(frozen=True)
class ChosenRows:
    """A rank's share of each step's chosen, as an order: shorter than that of the super-batches they come from.

    Every rank chooses for itself, out of the whole super-batch: the cache is read, nothing is sent.

    Attributes:
        order: of whole super-batches.
        select: chooses b of the B positions of a step.
        num_select: b.
        ranks: who shares them.
    """

    order: Order
    select: Callable[[int, np.ndarray], Selection]
    num_select: int
    ranks: Ranks
    _waiting: dict[int, tuple[np.ndarray, Selection]] = field(default_factory=dict)

    @property
    def batch_size(self) -> int:
        """Rows a step for this rank."""
        return self.ranks.counts(self.num_select)[self.ranks.rank]

    def rows(self, step: int, part: int = 0, parts: int = 1) -> np.ndarray:
        """Return this rank's chosen positions of a step, or a part of them, int64; chosen once, then kept for `take`."""
        if step not in self._waiting:
            positions_B = self.order.rows(step)
            self._waiting[step] = positions_B, self.select(step, positions_B)
        positions_B, selection = self._waiting[step]
        share = in_line(self.ranks, selection.indices)[self.ranks.share(self.num_select)].cpu().numpy()
        return positions_B[share][self.part_start(part, parts) : self.part_start(part + 1, parts)]

    def part_start(self, part: int, parts: int) -> int:
        """Return the place inside the share where a part begins."""
        return self.batch_size * part // parts

    def take(self, step: int) -> tuple[np.ndarray, Selection]:
        """Return a step's super-batch, positions int64 (B,), and how its rows were chosen; neither is kept any longer."""
        return self._waiting.pop(step)
