"""Distribute the chosen samples to the ranks that train on them.

Shapes: B super-batch, b sub-batch.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from superbatch.data.fields import Batch
from superbatch.training.distributed import Ranks


def deal(ranks: Ranks, mine: Batch, rows_B: np.ndarray, chosen_b: Tensor) -> Batch:
    """Hand each rank its even share of the chosen samples, fields as they were read; collective.

    The chosen are lined up by their places in the super-batch, so that most stay where they are; what moves is at most b samples
    in all, and none is read twice.

    Args:
        ranks: who takes part.
        mine: the samples of this rank's slice of the super-batch, with the fields that are wanted.
        rows_B: row numbers of the whole super-batch.
        chosen_b: places in it, the same on all ranks.

    Returns:
        This rank's share, in order of place.
    """
    if ranks.world == 1:
        return mine.take(chosen_b)
    places_b = in_line(ranks, chosen_b)
    total, held = len(rows_B), ranks.share(len(rows_B))
    holder_edges = torch.searchsorted(places_b.cpu(), torch.tensor(ranks.edges(total))).tolist()
    train_edges = ranks.edges(len(places_b))
    share = ranks.share(len(places_b))
    send = _overlaps(holder_edges[ranks.rank], holder_edges[ranks.rank + 1], train_edges)
    receive = _overlaps(share.start, share.stop, holder_edges)
    out = places_b[holder_edges[ranks.rank] : holder_edges[ranks.rank + 1]] - held.start
    fields = {name: ranks.swap(tensor[out], send, receive) for name, tensor in mine.fields.items()}
    return Batch(rows_B[places_b[share].cpu().numpy()], fields)


def own_places(ranks: Ranks, chosen_b: Tensor) -> np.ndarray:
    """Return the places in the super-batch of this rank's share of the chosen, int64, in the order in which they are dealt."""
    places: np.ndarray = in_line(ranks, chosen_b)[ranks.share(len(chosen_b))].cpu().numpy()
    return places


def in_line(ranks: Ranks, chosen_b: Tensor) -> Tensor:
    """Line the chosen places up as they are dealt: for one process as they were chosen, for several by place."""
    return chosen_b if ranks.world == 1 else chosen_b.sort().values


def _overlaps(start: int, stop: int, edges: list[int]) -> list[int]:
    """How much of [start, stop) lies between each edge and the next."""
    return [max(0, min(stop, b) - max(start, a)) for a, b in pairwise(edges)]


def collect(ranks: Ranks, share: Batch, total: int) -> Batch:
    """Put the shares of all ranks together again, on every rank; collective."""
    if ranks.world == 1:
        return share
    rows = ranks.gather(torch.from_numpy(share.rows).to(share.device), total).cpu().numpy()
    return Batch(rows, {name: ranks.gather(tensor, total) for name, tensor in share.fields.items()})
