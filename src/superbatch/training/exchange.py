"""What ranks exchange within a step: embeddings, so that the loss sees all negatives, and the chosen samples' pixels.

Shapes: B super-batch, b sub-batch, n this rank's share of it, D embedding.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from superbatch.losses import LossName, contrastive_loss
from superbatch.losses.parts import Own, Pull, loss_part
from superbatch.training.distributed import Ranks
from superbatch.training.step import Batch


def pull(
    ranks: Ranks, loss: LossName, image_nD: Tensor, text_nD: Tensor, scale: Tensor, bias: Tensor, total: int
) -> Pull:
    """Loss over the pairs of all ranks, and its gradients; collective.

    Args:
        ranks: who takes part.
        loss: sigmoid or softmax.
        image_nD, text_nD: embeddings of this rank's share; a graph behind them is not used.
        scale, bias: the same on all ranks.
        total: b, samples of all ranks.

    Returns:
        The loss (the same on all ranks) and its gradients by this rank's embeddings; those by scale and bias are this rank's
        terms, to be summed over ranks.
    """
    if ranks.world == 1:
        return _alone(loss, image_nD, text_nD, scale, bias)
    mine = torch.cat([image_nD, text_nD], 1).detach()
    image_bD, text_bD = ranks.gather(mine, total).split(image_nD.shape[1], 1)
    own = Own(image_bD, text_bD, ranks.share(total).start, len(mine))
    part = loss_part(loss, own, scale.detach(), bias.detach(), lambda numbers: ranks.gather(numbers, total))
    return part._replace(loss=ranks.sum(part.loss))


def _alone(loss: LossName, *inputs: Tensor) -> Pull:
    """One process: the loss as it is, its graph cut at the embeddings."""
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    value = contrastive_loss(loss)(*leaves)
    gradients = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
    return Pull(value.detach(), *gradients)


def deal(ranks: Ranks, mine: Batch, rows_B: np.ndarray, chosen_b: Tensor) -> Batch:
    """Hand each rank its even share of the chosen samples, pixels and token ids as they were read; collective.

    The chosen are lined up by their places in the super-batch, so that most stay where they are; what moves is at most b images
    in all, and no image is decoded twice.

    Args:
        ranks: who takes part.
        mine: the samples of this rank's slice of the super-batch.
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
    pixels = ranks.swap(mine.pixels[out], send, receive)
    ids = ranks.swap(mine.token_ids[out], send, receive)
    return Batch(rows_B[places_b[share].cpu().numpy()], pixels, ids)


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
    device = share.pixels.device
    rows = ranks.gather(torch.from_numpy(share.rows).to(device), total).cpu().numpy()
    return Batch(rows, ranks.gather(share.pixels, total), ranks.gather(share.token_ids, total))
