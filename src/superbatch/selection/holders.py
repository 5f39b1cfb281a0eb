"""Holders of a draw's slots: one process or several ranks, and the operations that the draw needs of them.

That is the largest key, the top of a chunk, embeddings of the chosen.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.distributed as dist
from torch import Tensor


class Top(NamedTuple):
    """The best of some slots in falling order of key, the lower slot first among equals."""

    slots_K: Tensor  # int64
    given_K: Tensor  # float64: their scores


class Placed(Protocol):
    """Interface of what holds embeddings by place."""

    embeddings_2BD: Tensor

    def chosen(self, places_K: Tensor) -> Tensor:
        """[2, K, D] at these places."""
        ...


class Alone:
    """One process that holds every slot."""

    first = 0

    def largest(self, keys_B: Tensor) -> Tensor:
        """The largest key of all."""
        return keys_B.max()

    def merge(self, keys_B: Tensor, given_B: Tensor, best_K: Tensor, count: int) -> Top:
        """The `count` best of all, given the best of the slots here by their number here."""
        return Top(best_K, given_B[best_K])

    def here(self, slots_K: Tensor) -> Tensor:
        """Those of the slots that are held here, by their number here."""
        return slots_K

    def rows(self, placed: Placed, place_B: Tensor, slots_K: Tensor) -> Tensor:
        """[2, K, D]: embeddings of slots, whoever holds them; `place_B` says where those here lie."""
        return placed.chosen(place_B.index_select(0, slots_K))


class Sharded(Alone):
    """Several ranks, this one among them: each holds the slots `first` to `first + count` - 1. All calls are collective.

    Nothing here depends on the number of ranks but the bytes sent: the maximum and the merge are exact, and of the sums
    that carry embeddings one term alone is not zero.
    """

    def __init__(self, group: dist.ProcessGroup, first: int = 0, slots: tuple[int, ...] = ()) -> None:
        self.group, self.first, self.slots = group, first, slots
        self.count = slots[group.rank()] if slots else 0

    def holding(self, first: int, slots: list[int]) -> Sharded:
        """The same ranks, knowing how many slots each holds, this one from `first` on."""
        return Sharded(self.group, first, tuple(slots))

    def largest(self, keys_B: Tensor) -> Tensor:
        """The largest key of all ranks."""
        best = torch.cat([keys_B, keys_B.new_full((1,), -torch.inf)]).max()
        dist.all_reduce(best, dist.ReduceOp.MAX, group=self.group)
        return best

    def merge(self, keys_B: Tensor, given_B: Tensor, best_K: Tensor, count: int) -> Top:
        """The `count` best of all ranks, out of every rank's own best."""
        longest = min(count, max(self.slots))
        mine_3K = torch.full((3, longest), -torch.inf, dtype=torch.float64, device=keys_B.device)
        mine = (keys_B[best_K], best_K + self.first, given_B[best_K])  # slots are exact up to 2^53
        mine_3K[:, : len(best_K)] = torch.stack([numbers.double() for numbers in mine])
        keys, slots, given = self.gather(mine_3K).transpose(0, 1).reshape(3, -1)
        best = keys.sort(descending=True, stable=True).indices[:count]  # by rank, so by slot, among equals
        return Top(slots[best].long(), given[best])

    def here(self, slots_K: Tensor) -> Tensor:
        """Those held here; on a GPU as many as there are slots, the others as `count`, for a number would be waited for."""
        here_K, held_K = slots_K - self.first, self._held(slots_K)
        return here_K.where(held_K, self.count) if slots_K.is_cuda else here_K[held_K]

    def _held(self, slots_K: Tensor) -> Tensor:
        return (slots_K >= self.first) & (slots_K < self.first + self.count)

    def rows(self, placed: Placed, place_B: Tensor, slots_K: Tensor) -> Tensor:
        """[2, K, D]: everybody adds the rows held there."""
        rows_2KD = placed.embeddings_2BD.new_zeros(2, len(slots_K), placed.embeddings_2BD.shape[2])
        if self.count:
            held_K = self._held(slots_K)
            found = placed.chosen(place_B.index_select(0, (slots_K - self.first).clamp(0, self.count - 1)))
            rows_2KD = torch.where(held_K.unsqueeze(1), found, rows_2KD)
        dist.all_reduce(rows_2KD, group=self.group)
        return rows_2KD

    def gather(self, mine: Tensor) -> Tensor:
        """[W, ...]: everybody's tensor of one shape, by rank."""
        everybody = mine.new_empty(self.group.size(), *mine.shape)
        dist.all_gather(list(everybody.unbind(0)), mine.contiguous(), group=self.group)
        return everybody


def gather_uneven(group: dist.ProcessGroup | None, mine: Tensor, counts: list[int]) -> Tensor:
    """[sum(counts), ...]: the tensors of all ranks end to end, of which rank r has counts[r] rows; collective, no gradients.

    Args:
        group: of ranks; None for all.
        mine: this rank's, [counts[rank], ...].
        counts: the same on all ranks.
    """
    padded = mine.new_zeros(max(counts), *mine.shape[1:])
    padded[: len(mine)] = mine
    theirs = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(theirs, padded, group=group)
    return torch.cat([rows[:count] for rows, count in zip(theirs, counts, strict=True)])
