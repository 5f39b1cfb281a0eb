"""Share the embedding work of an evaluation among the ranks of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol

import torch
from torch import Tensor


class Sharers(Protocol):
    """Processes that evaluate together (`training.distributed.Ranks`); all methods but `edges` are collective."""

    @property
    def rank(self) -> int:
        """Number of the process, from 0."""
        ...

    def edges(self, total: int) -> list[int]:
        """Where each one's share of `total` things begins, and the end."""
        ...

    def most(self, value: int) -> int:
        """Return the largest of all numbers."""
        ...

    def gather_uneven(self, mine: Tensor, counts: list[int]) -> Tensor:
        """Lay everybody's rows end to end."""
        ...


class Alone:
    """One process, which embeds everything."""

    rank = 0

    def edges(self, total: int) -> list[int]:
        """All of them."""
        return [0, total]

    def most(self, value: int) -> int:
        """Its own."""
        return value

    def gather_uneven(self, mine: Tensor, counts: list[int]) -> Tensor:
        """Its own."""
        return mine


ALONE = Alone()


@dataclass(frozen=True)
class Dealt:
    """Batches of items, dealt whole: each is embedded by one rank, as one process would, so on a CPU with equal threads to the same bits.

    Attributes:
        batches: all of them, end to end.
        ranks: who shares them.
    """

    batches: Sequence[slice]
    ranks: Sharers = ALONE

    @classmethod
    def of(cls, total: int, size: int, ranks: Sharers = ALONE) -> Dealt:
        """Cut `total` items into batches of one size, the last one smaller."""
        return cls([slice(start, min(start + size, total)) for start in range(0, total, size)], ranks)

    @classmethod
    def evenly(cls, total: int, size: int, ranks: Sharers = ALONE) -> Dealt:
        """Cut `total` items into batches of `size` or somewhat more (of fewer items: all), which differ by one at most; the longer ones first."""
        smallest, longer = divmod(total, count := max(1, total // size))
        stops = list(accumulate([smallest + 1] * longer + [smallest] * (count - longer), initial=0))
        return cls([slice(start, stop) for start, stop in pairwise(stops)], ranks)

    @property
    def mine(self) -> Sequence[slice]:
        """The batches of the rank that asks; none where there are more ranks than batches."""
        edges = self.ranks.edges(len(self.batches))
        return self.batches[edges[self.ranks.rank] : edges[self.ranks.rank + 1]]

    @property
    def counts(self) -> list[int]:
        """Items of each rank."""
        starts = [*(batch.start for batch in self.batches), self.batches[-1].stop]
        return [starts[stop] - starts[first] for first, stop in pairwise(self.ranks.edges(len(self.batches)))]

    def gather(self, found: Sequence[Tensor], device: torch.device) -> Tensor:
        """Lay the embeddings of all ranks end to end: of each of this rank's batches (n, D) in, (N, D) out; collective, no gradients."""
        if len(self.counts) == 1:
            return torch.cat(list(found))
        width = self.ranks.most(found[0].shape[1] if found else 0)  # width of embeddings, for a rank that has no batch
        mine = torch.cat(list(found)) if found else torch.empty(0, width, device=device)
        return self.ranks.gather_uneven(mine, self.counts)
