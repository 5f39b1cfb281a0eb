"""Which samples are still to be had, and where they lie: candidates in front, so that the chosen cost no more work."""

from __future__ import annotations

import torch
from torch import Tensor


class Candidates:
    """B places of which the first `live` hold candidates; no host synchronisation in any of it.

    A *slot* is a sample's number in order of row and never changes; a *place* is where it lies now.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        self.live = count
        self.place_B = torch.arange(count, device=device)  # by slot
        self.slot_B = torch.arange(count, device=device)  # by place
        self.taken_B = torch.zeros(count, dtype=torch.bool, device=device)  # by slot

    def take(self, slots_K: Tensor) -> None:
        """Marks the slots as chosen; they stay where they are until `drop`."""
        self.taken_B.index_fill_(0, slots_K, True)

    def drop(self, slots_K: Tensor) -> tuple[Tensor, Tensor]:
        """Fills the places of taken slots with the last candidates.

        Returns:
            target, source: int64 [K] each; what lies by place must be moved likewise (read all of source, then write
                target).
        """
        count = len(slots_K)
        self.live -= count
        target_K = self.place_B.index_select(0, slots_K).sort().values
        tail_slots_K = self.slot_B[self.live : self.live + count]
        # Candidates of the tail first: they fill the holes. What is left meets holes beyond `live`, where nobody looks.
        alive_first_K = self.taken_B.index_select(0, tail_slots_K).to(torch.uint8).argsort(stable=True)
        moved_K = tail_slots_K.index_select(0, alive_first_K)
        self.slot_B.index_copy_(0, target_K, moved_K)
        self.place_B.index_copy_(0, moved_K, target_K)
        return target_K, alive_first_K + self.live
