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
        self.place_B = torch.arange(count, device=device)  # of each slot; where a taken slot last lay
        self.slot_B = torch.arange(count, device=device)  # at each place
        self._taken = torch.zeros(
            count + 1, dtype=torch.bool, device=device
        )  # the last is for slots that lie elsewhere
        self.taken_B = self._taken[:count]  # by slot
        self._gone = torch.ones(len(self.live) * self.tile, dtype=torch.bool, device=device)  # by place, whole tiles
        self._gone[:count] = False
        self._offset_T = torch.arange(self.tile, device=device)

    def spans(self) -> list[tuple[int, int]]:
        """Where the candidates of each tile lie, [start, stop); tiles without any are left out."""
        return [(number * self.tile, number * self.tile + live) for number, live in enumerate(self.live) if live]

    def take(self, slots_K: Tensor) -> tuple[Tensor, Tensor] | None:
        """Marks slots as chosen and fills their places with the last candidates of their tile.

        Args:
            slots_K: below `count`; on a GPU `count` itself stands for slots that lie elsewhere.

        Returns:
            target, source: int64, equally many; what lies by place must be moved likewise (read all of source, then
                write target). None where nothing moves.
        """
        self._taken.index_fill_(0, slots_K, True)
        if not self.moves:
            return None
        self._gone.index_fill_(0, self.place_B.index_select(0, slots_K), True)
        gone_GT = self._gone.view(-1, self.tile)
        live_G = self.tile - gone_GT.sum(1)
        front_GT = self._offset_T < live_G.unsqueeze(1)
        target = (front_GT & gone_GT).view(-1).nonzero().squeeze(1)
        source = (front_GT | gone_GT).logical_not_().view(-1).nonzero().squeeze(1)
        self.live = live_G.tolist()
        self._move(target, source)
        return target, source

    def _move(self, target: Tensor, source: Tensor) -> None:
        moved = self.slot_B.index_select(0, source)
        self.slot_B.index_copy_(0, target, moved)
        self.place_B.index_copy_(0, moved, target)
        self._gone.index_fill_(0, target, False).index_fill_(0, source, True)

    def alive(self) -> tuple[Tensor, Tensor]:
        """Places of all candidates in front of an int64 [B], and how many they are, int64 [1]; waits for nothing."""
        alive_B = ~self._gone[: self.count] if self.moves else ~self.taken_B
        at_B = (alive_B.cumsum(0) - 1).where(alive_B, self.count)  # taken candidates share the spare slot
        places_B = self.slot_B.new_zeros(self.count + 1)
        places_B.index_copy_(0, at_B, torch.arange(self.count, device=alive_B.device))
        return places_B[: self.count], alive_B.sum(0, keepdim=True)
