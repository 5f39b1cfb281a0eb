"""Picks that wait for their step: with `selection.stale_steps` = k a batch is chosen k steps before it is trained on.

So no copy of older weights is kept: at step t the present weights choose for step t + k, and the learner trains on what they chose at
step t - k. A state keeps places and scores of the waiting picks; their samples are read again by row.

Shapes: B super-batch, b sub-batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from superbatch.data.fields import Batch, Source
from superbatch.data.order import Order
from superbatch.selection import Selection
from superbatch.training.dealing import own_places
from superbatch.training.distributed import Ranks

KEPT = ("indices", "scores", "conditional")  # names of a selection's tensors in a state


@dataclass(frozen=True)
class Pick:
    """The batch of a step.

    Attributes:
        step: that trains on it.
        batch: this rank's share of its b samples.
        rows_B: row numbers of the super-batch it was chosen from, int64.
        selection: how it was chosen; None for uniform.
        whole: this rank's slice of the whole super-batch, where a model is trained on it.
    """

    step: int
    batch: Batch
    rows_B: np.ndarray
    selection: Selection | None
    whole: Batch | None = None

    @property
    def super_batch(self) -> tuple[Batch, int] | None:
        """That slice and B; None where no model is trained on it."""
        return None if self.whole is None else (self.whole, len(self.rows_B))


def pending_tensors(picks: Iterable[Pick]) -> dict[str, Tensor]:
    """Return what a state keeps of waiting picks, by `<step>:<name>`: places int64 (b,), scores float64 (B,) and (b,), chunk sizes."""
    found: dict[str, Tensor] = {}
    for pick in picks:
        assert pick.selection is not None, "uniform picks do not wait"
        found |= {f"{pick.step}:{name}": getattr(pick.selection, name).cpu() for name in KEPT}
        found[f"{pick.step}:chunk_sizes"] = torch.tensor(pick.selection.chunk_sizes)
    return found


def restore(
    tensors: dict[str, Tensor],
    source: Source,
    names: Iterable[str],
    order: Order,
    ranks: Ranks,
    device: torch.device,
    gain: float,
) -> list[Pick]:
    """Make the waiting picks of a state again, in order of steps; only their b samples are read.

    Args:
        tensors: `pending_tensors` of the process or ranks that wrote the state.
        source, names: which fields to read.
        order: of whole super-batches.
        ranks: who shares the picks now; as many as then or not.
        device: where samples and scores go.
        gain: the selection's.

    Raises:
        UserError: a sample that can't be read, named by shard and key.
    """
    picks = []
    for step in sorted({int(key.partition(":")[0]) for key in tensors}):
        indices, scores, conditional = (tensors[f"{step}:{name}"].to(device) for name in KEPT)
        sizes = tuple(tensors[f"{step}:chunk_sizes"].tolist())
        positions = order.rows(step)
        batch = source.read(names, positions[own_places(ranks, indices)], step).to(device)
        selection = Selection(indices, scores, conditional, sizes, gain)
        picks.append(Pick(step, batch, source.manifest_rows(positions), selection))
    return picks
