"""What a draw asks of those who hold the other slots: the largest key, the top of a chunk, embeddings of the chosen."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.distributed as dist
from torch import Tensor


class Top(NamedTuple):
    """The best of some slots in falling order of key, the lower slot first among equals."""

    keys_K: Tensor  # float64
    slots_K: Tensor  # int64
    given_K: Tensor  # float64: their scores


class Holder(Protocol):
    """What holds embeddings by place."""

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

    def merge(self, top: Top, count: int) -> Top:
        """The `count` best of all, by slot, given the best of the places here."""
        return top

    def rows(self, holder: Holder, place_B: Tensor, here_K: Tensor) -> Tensor:
        """[2, K, D]: embeddings of slots, counted from the first one here."""
        return holder.chosen(place_B.index_select(0, here_K))


class Ranks(Alone):
    """One of several ranks: each holds the slots `first` to `first + count` - 1. All calls are collective.

    Nothing here depends on the number of ranks but the bytes sent: the maximum and the merge are exact, and of the sums
    that carry embeddings one term alone is not zero.
    """

    def __init__(self, group: dist.ProcessGroup, first: int = 0, parts: tuple[int, ...] = ()) -> None:
        self.group, self.first, self.parts = group, first, parts
        self.count = parts[group.rank()] if parts else 0

    def holding(self, first: int, parts: list[int]) -> Ranks:
        """The same ranks, knowing how many slots each holds, this one from `first` on."""
        return Ranks(self.group, first, tuple(parts))

    def largest(self, keys_B: Tensor) -> Tensor:
        """The largest key of all ranks."""
        best = torch.cat([keys_B, keys_B.new_full((1,), -torch.inf)]).max()
        dist.all_reduce(best, dist.ReduceOp.MAX, group=self.group)
        return best

    def merge(self, top: Top, count: int) -> Top:
        """The `count` best of all ranks, out of every rank's own best."""
        longest = min(count, max(self.parts))
        mine_3K = torch.full((3, longest), -torch.inf, dtype=torch.float64, device=top.keys_K.device)
        parts = (top.keys_K, top.slots_K + self.first, top.given_K)  # slots are exact up to 2^53
        mine_3K[:, : len(top.keys_K)] = torch.stack([part.double() for part in parts])
        keys, slots, given = self.gather(mine_3K).transpose(0, 1).reshape(3, -1)
        best = keys.sort(descending=True, stable=True).indices[:count]  # by rank, so by slot, among equals
        return Top(keys[best], slots[best].long(), given[best])

    def rows(self, holder: Holder, place_B: Tensor, here_K: Tensor) -> Tensor:
        """[2, K, D]: everybody adds the rows held there."""
        rows_2KD = holder.embeddings_2BD.new_zeros(2, len(here_K), holder.embeddings_2BD.shape[2])
        if self.count:
            held_K = (here_K >= 0) & (here_K < self.count)
            found = holder.chosen(place_B.index_select(0, here_K.clamp(0, self.count - 1)))
            rows_2KD = torch.where(held_K.unsqueeze(1), found, rows_2KD)
        dist.all_reduce(rows_2KD, group=self.group)
        return rows_2KD

    def gather(self, mine: Tensor) -> Tensor:
        """[W, ...]: everybody's tensor of one shape, by rank."""
        everybody = mine.new_empty(self.group.size(), *mine.shape)
        dist.all_gather(list(everybody.unbind(0)), mine.contiguous(), group=self.group)
        return everybody
