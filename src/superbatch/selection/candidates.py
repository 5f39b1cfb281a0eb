"""Which samples are still to be had, and where they lie: candidates in front of their tile, so that the chosen cost no
more work.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Candidates:
    """Samples on a fixed grid of tiles; in each tile the first `live` places hold candidates.

    A *slot* is a sample's number in order of row and never changes; a *place* is where it lies now, in the tile of its
    slot for good: so a tile looks the same whoever holds it. On a GPU nothing moves, as how many are left would have to
    be waited for.
    """

    def __init__(self, count: int, tile: int, device: torch.device) -> None:
        self.count, self.tile, self.moves = count, max(1, min(tile, count)), device.type != "cuda"
        self.live = [min(self.tile, count - start) for start in range(0, count, self.tile)]
        self.place_B = torch.arange(count, device=device)  # by slot
        self.slot_B = torch.arange(count, device=device)  # by place
        self._taken = torch.zeros(
            count + 1, dtype=torch.bool, device=device
        )  # the last is for slots that lie elsewhere
        self.taken_B = self._taken[:count]  # by slot

    def spans(self) -> list[tuple[int, int]]:
        """Where the candidates of each tile lie, [start, stop); tiles without any are left out."""
        return [(number * self.tile, number * self.tile + live) for number, live in enumerate(self.live) if live]

    def take(self, slots_K: Tensor) -> None:
        """Marks slots as chosen (those outside 0..B-1 are nobody's here); they stay where they are until `drop`."""
        here_K = (slots_K >= 0) & (slots_K < self.count)
        self._taken.index_fill_(0, slots_K.where(here_K, self.count), True)

    def drop(self) -> tuple[Tensor, Tensor] | None:
        """Fills the places of taken slots with the last candidates of their tile.

        Returns:
            target, source: int64, equally many; what lies by place must be moved likewise (read all of source, then
                write target). None where nothing moves.
        """
        if not self.moves or not self.count:
            return None
        alive_GT = torch.zeros(len(self.live) * self.tile, dtype=torch.bool)
        torch.logical_not(self.taken_B.index_select(0, self.slot_B), out=alive_GT[: self.count])
        alive_GT = alive_GT.view(-1, self.tile)
        live_G = alive_GT.sum(1)
        front_GT = torch.arange(self.tile) < live_G.unsqueeze(1)
        target = (front_GT & ~alive_GT).flatten().nonzero().squeeze(1)
        source = (alive_GT & ~front_GT).flatten().nonzero().squeeze(1)
        self.live = live_G.tolist()
        self._swap(target, source)
        return target, source

    def alive(self) -> tuple[Tensor, Tensor]:
        """Places of all candidates in front of an int64 [B], and how many they are, int64 [1]; waits for nothing."""
        alive_B = ~self.taken_B.index_select(0, self.slot_B)
        at_B = (alive_B.cumsum(0) - 1).where(alive_B, self.count)  # what has been taken meets in the spare
        places_B = self.slot_B.new_zeros(self.count + 1)
        places_B.index_copy_(0, at_B, torch.arange(self.count, device=alive_B.device))
        return places_B[: self.count], alive_B.sum(0, keepdim=True)

    def _swap(self, target: Tensor, source: Tensor) -> None:
        left, kept = self.slot_B.index_select(0, target), self.slot_B.index_select(0, source)
        self.slot_B.index_copy_(0, target, kept).index_copy_(0, source, left)
        self.place_B.index_copy_(0, kept, target).index_copy_(0, left, source)
