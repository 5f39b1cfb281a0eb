"""The selection as one would write it down: float64 matrices of all pairs, everything recomputed for every chunk."""

from __future__ import annotations

import torch
from torch import Tensor

from superbatch.selection import PairEmbeddings, chunk_sizes
from superbatch.selection.noise import gumbel

SIGNS = {"learnability": (1, -1), "easy_reference": (0, -1), "hard_learner": (1, 0), "easy_learner": (-1, 0)}


def pair_losses(pairs: PairEmbeddings, loss: str) -> Tensor:
    """[B, B]: Algorithm 2's pair losses (sigmoid) or negative logits (softmax), images by rows and texts by columns."""
    logits = pairs.scale * pairs.image_ND.double() @ pairs.text_ND.double().T
    if loss == "softmax":
        return -logits
    signs = 2 * torch.eye(len(logits), dtype=torch.float64) - 1
    signed = -signs * (logits + pairs.bias)
    return torch.logaddexp(torch.zeros_like(signed), signed)


def model_loss(pairs: PairEmbeddings, loss: str, chosen: Tensor) -> Tensor:
    """[B]: each candidate's loss given the chosen ones, one model (Algorithm 1's sums or Algorithm 3's normalisers)."""
    matrix = pair_losses(pairs, loss)
    own = matrix.diagonal()
    if len(chosen) == 0:
        return own
    if loss == "sigmoid":
        return own + matrix[chosen, :].sum(0) + matrix[:, chosen].sum(1)
    return own + (torch.logsumexp(-matrix[chosen, :], 0) + torch.logsumexp(-matrix[:, chosen], 1)) / 2


def score(learner: PairEmbeddings, reference: PairEmbeddings, criterion: str, loss: str, chosen: Tensor) -> Tensor:
    terms = zip(SIGNS[criterion], (learner, reference), strict=True)
    return sum(sign * model_loss(pairs, loss, chosen) for sign, pairs in terms if sign)


def select(learner, reference, num_select, *, num_chunks, gain, criterion, loss, seed, step, rows=None):
    """(indices, unconditional scores, conditional scores of the chosen), by matrices, on the same noise."""
    count = learner.count
    rows = torch.arange(count) if rows is None else rows
    chosen, conditional = torch.empty(0, dtype=torch.int64), []
    for chunk, size in enumerate(chunk_sizes(count, num_select, num_chunks)):
        now = score(learner, reference, criterion, loss, chosen)
        keys = gain * now
        keys[chosen] = -torch.inf
        keys = keys - keys.max() + gumbel(seed, step, range(chunk, chunk + 1), rows)[0]
        ranked = sorted(range(count), key=lambda i: (-float(keys[i]), int(rows[i])))
        new = torch.tensor(ranked[:size])
        conditional.append(now[new])
        chosen = torch.cat([chosen, new])
    return chosen, score(learner, reference, criterion, loss, chosen[:0]), torch.cat(conditional)


def conditional_scores(learner, reference, indices, sizes, *, loss, criterion="learnability"):
    """Conditional scores of a selection's picks, chunk by chunk, each given the selection's own earlier picks."""
    starts = [sum(sizes[:chunk]) for chunk in range(len(sizes))]
    spans = [(start, indices[start : start + size]) for start, size in zip(starts, sizes, strict=True)]
    return torch.cat([score(learner, reference, criterion, loss, indices[:start])[new] for start, new in spans])


def make_pairs(
    count: int, dim: int, seed: int, *, scale=10.0, bias=-10.0, noise=1.0, dtype=torch.float64, name="embeddings"
):
    """Unit-length embeddings of related images and texts."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(count, dim, generator=generator, dtype=torch.float64)
    text = image + noise * torch.randn(count, dim, generator=generator, dtype=torch.float64)
    sides = (torch.nn.functional.normalize(side, dim=-1).to(dtype) for side in (image, text))
    return PairEmbeddings(*sides, scale=scale, bias=bias, name=name)
