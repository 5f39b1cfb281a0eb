"""The matrix forms of joint selection that ours is measured against. They draw on our noise, so that picks can be
compared.

`printed_*` follow the paper's pseudo-code (Algorithms 1-3): all B x B pair scores, and everything about the chosen
recomputed from them by masks for every chunk. Only the draw is put right (docs/selection.md).
`masked_sigmoid` spares it the identity matrix. `running_*` are what a competent
programmer makes of it: the same matrices, made once, and running sums (or log-sum-exps) over the newly chosen rows and
columns.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from superbatch.selection import PairEmbeddings, chunk_sizes
from superbatch.selection.noise import gumbel

TAKEN = 1e8  # what the pseudo-code subtracts from the chosen


def _draw(scores_B: Tensor, taken_B: Tensor, gain: float, size: int, chunk: int, seed: int) -> Tensor:
    """The paper's draw made distinct: Gumbel top-k."""
    keys_B = (scores_B.double() * gain).masked_fill(taken_B, -torch.inf)
    noise_B = gumbel(seed, 0, range(chunk, chunk + 1), torch.arange(len(keys_B)))[0]
    return (keys_B - keys_B.max() + noise_B).topk(size).indices


def _run(
    given: Callable[[Tensor, Tensor], Tensor], count: int, num_select: int, num_chunks: int, gain: float, seed: int
) -> Tensor:
    """Chunk after chunk; `given(taken mask, newly chosen)` scores everybody."""
    taken_B = torch.zeros(count, dtype=torch.bool)
    new = torch.empty(0, dtype=torch.int64)
    chosen = []
    for chunk, size in enumerate(chunk_sizes(count, num_select, num_chunks)):
        new = _draw(given(taken_B, new), taken_B, gain, size, chunk, seed)
        taken_B[new] = True
        chosen.append(new)
    return torch.cat(chosen)


def _pair_losses(pairs: PairEmbeddings) -> Tensor:
    """Algorithm 2: -log sigmoid of the signed logits, [B, B]."""
    logits_BB = torch.addmm(
        torch.tensor(pairs.bias, dtype=pairs.image_ND.dtype), pairs.image_ND, pairs.text_ND.T, alpha=pairs.scale
    )
    logits_BB.diagonal().neg_()
    return functional.softplus(logits_BB)


def _logits(pairs: PairEmbeddings) -> Tensor:
    return (pairs.image_ND @ pairs.text_ND.T).mul_(pairs.scale)


def printed_sigmoid(
    learner: PairEmbeddings, reference: PairEmbeddings, num_select: int, num_chunks: int, gain: float, seed: int
) -> Tensor:
    """Algorithm 1 over Algorithm 2's matrices; the chosen are marked by rows of an identity matrix, as printed."""
    return _masked_sigmoid(learner, reference, num_select, num_chunks, gain, seed, identity=True)


def masked_sigmoid(
    learner: PairEmbeddings, reference: PairEmbeddings, num_select: int, num_chunks: int, gain: float, seed: int
) -> Tensor:
    """The same, kinder: the chosen are marked in a vector."""
    return _masked_sigmoid(learner, reference, num_select, num_chunks, gain, seed, identity=False)


def _masked_sigmoid(
    learner: PairEmbeddings,
    reference: PairEmbeddings,
    num_select: int,
    num_chunks: int,
    gain: float,
    seed: int,
    *,
    identity: bool,
) -> Tensor:
    scores_BB = _pair_losses(learner) - _pair_losses(reference)
    own_B = scores_BB.diagonal()
    chosen: list[Tensor] = []

    def given(taken_B: Tensor, new: Tensor) -> Tensor:
        if not len(new):
            return own_B
        chosen.append(new)
        sampled_B = (
            torch.eye(len(own_B), dtype=own_B.dtype)[torch.cat(chosen)].sum(0) if identity else taken_B.to(own_B.dtype)
        )
        rows_B = (scores_BB * sampled_B[:, None]).sum(0)
        columns_B = (scores_BB * sampled_B[None, :]).sum(1)
        return own_B + rows_B + columns_B - TAKEN * sampled_B

    return _run(given, len(own_B), num_select, num_chunks, gain, seed)


def printed_softmax(
    learner: PairEmbeddings, reference: PairEmbeddings, num_select: int, num_chunks: int, gain: float, seed: int
) -> Tensor:
    """Algorithm 3: both log-sum-exps of both models anew for every chunk, the others masked by -1e8."""
    learner_BB, reference_BB = _logits(learner), _logits(reference)
    own_B = reference_BB.diagonal() - learner_BB.diagonal()

    def normaliser(logits_BB: Tensor, mask_B: Tensor) -> Tensor:
        return (torch.logsumexp(logits_BB + mask_B[None, :], 1) + torch.logsumexp(logits_BB + mask_B[:, None], 0)) / 2

    def given(taken_B: Tensor, new: Tensor) -> Tensor:
        if not len(new):
            return own_B
        mask_B = -TAKEN * (~taken_B).to(own_B.dtype)
        return own_B + normaliser(learner_BB, mask_B) - normaliser(reference_BB, mask_B)

    return _run(given, len(own_B), num_select, num_chunks, gain, seed)


def running_sigmoid(
    learner: PairEmbeddings, reference: PairEmbeddings, num_select: int, num_chunks: int, gain: float, seed: int
) -> Tensor:
    """One matrix of differences, made once; sums over new rows and columns only."""
    scores_BB = _pair_losses(learner).sub_(_pair_losses(reference))
    total_B = scores_BB.diagonal().to(torch.float64, copy=True)

    def given(taken_B: Tensor, new: Tensor) -> Tensor:
        if len(new):
            total_B.add_(scores_BB[new].sum(0)).add_(scores_BB[:, new].sum(1))
        return total_B

    return _run(given, len(total_B), num_select, num_chunks, gain, seed)


def running_softmax(
    learner: PairEmbeddings, reference: PairEmbeddings, num_select: int, num_chunks: int, gain: float, seed: int
) -> Tensor:
    """Two matrices of logits, made once; log-sum-exps extended by the new rows and columns only."""
    models = [(1.0, _logits(learner)), (-1.0, _logits(reference))]
    own_B = sum(-sign * logits_BB.diagonal() for sign, logits_BB in models)
    states = [torch.full((2, len(own_B)), -torch.inf, dtype=torch.float64) for _ in models]

    def given(taken_B: Tensor, new: Tensor) -> Tensor:
        if not len(new):
            return own_B
        total_B = own_B.to(torch.float64, copy=True)
        for (sign, logits_BB), state_2B in zip(models, states, strict=True):
            added_2B = torch.stack([logits_BB[new].logsumexp(0), logits_BB[:, new].logsumexp(1)])
            state_2B.copy_(torch.logaddexp(state_2B, added_2B.double()))
            total_B += sign * state_2B.mean(0)
        return total_B

    return _run(given, len(own_B), num_select, num_chunks, gain, seed)


def trainer_normaliser(pairs: PairEmbeddings, taken_B: Tensor) -> Tensor:
    """Mean of both log-sum-exps over the chosen, from products made anew, as DRRho-CLIP's trainer does it."""
    mask_B = (1 - taken_B.to(pairs.image_ND.dtype)) * TAKEN
    _logits(pairs)  # the trainer makes the matrix of its own samples too, for a loss that nothing uses
    images_B = (_logits(pairs) - mask_B).logsumexp(1)
    texts_B = ((pairs.text_ND @ pairs.image_ND.T).mul_(pairs.scale) - mask_B).logsumexp(1)
    return (images_B + texts_B) / 2


def recomputed_softmax(
    learner: PairEmbeddings, reference: PairEmbeddings, num_select: int, num_chunks: int, gain: float, seed: int
) -> Tensor:
    """DRRho-CLIP's trainer on one process: all products and log-sum-exps of both models anew for every chunk."""
    own_B = _logits(reference).diagonal() - _logits(learner).diagonal()

    def given(taken_B: Tensor, new: Tensor) -> Tensor:
        if not len(new):
            return own_B
        torch.eye(len(own_B), dtype=own_B.dtype)[new].sum(0)  # how it marks the chosen
        return own_B + trainer_normaliser(learner, taken_B) - trainer_normaliser(reference, taken_B)

    return _run(given, len(own_B), num_select, num_chunks, gain, seed)


PEERS = {
    "sigmoid": {"printed": printed_sigmoid, "masked": masked_sigmoid, "running": running_sigmoid},
    "softmax": {"printed": printed_softmax, "running": running_softmax, "recomputed": recomputed_softmax},
}
