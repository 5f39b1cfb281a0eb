"""One rank's share of a contrastive loss over the pairs of all ranks, with its gradients in closed form.

Every rank holds the embeddings of all samples and n of them as its own. It computes what its own embeddings need and
nothing else: logits of own images against all texts and of own texts against all images, a tile at a time, so that no
N x N matrix is built. Nothing but embeddings (and, for softmax, one normaliser a sample) has to be sent, and gradients
of embeddings need no reduction. Shapes: N samples of all ranks, n of this one, T of a tile, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from superbatch.losses.tiles import Pull, spans

Gather = Callable[[Tensor], Tensor]  # [n, ...] of this rank -> [N, ...] of all, in order
Slope = Callable[[Tensor, slice, bool], Tensor]  # logits [n, T], their span, whether against texts -> N x derivatives


class Own(NamedTuple):
    """The embeddings of all samples, and which of them are this rank's."""

    image_ND: Tensor
    text_ND: Tensor
    first: int
    samples: int

    @property
    def image(self) -> Tensor:
        """Image embeddings of own samples, [n, D]."""
        return self.image_ND[self.first : self.first + self.samples]

    @property
    def text(self) -> Tensor:
        """Text embeddings of own samples, [n, D]."""
        return self.text_ND[self.first : self.first + self.samples]


@torch.no_grad()
def share_pull(name: str, own: Own, scale: Tensor, bias: Tensor, gather: Gather) -> Pull:
    """Own share of the loss called `name` (`sigmoid_loss`, `softmax_loss`), without a graph.

    Args:
        name: sigmoid or softmax.
        own: all embeddings, and which are this rank's.
        scale, bias: of one number; a softmax does not change with the bias.
        gather: puts the numbers of all ranks end to end; collective.

    Returns:
        The loss's summand (those of all ranks add up to it), complete gradients of own embeddings, and summands of those
        by scale and bias.
    """
    if name == "sigmoid":
        return _pull_sigmoid(own, scale, bias)
    return _pull_softmax(own, scale, torch.zeros_like(scale), gather)


def _pull_sigmoid(own: Own, scale: Tensor, bias: Tensor) -> Pull:
    total = len(own.image_ND)

    def slope(logits_nT: Tensor, span: slice, to_texts: bool) -> Tensor:
        return logits_nT.sigmoid()

    loss = scale.new_zeros(())
    for span, dots_nT in _tiles(own.image, own.text_ND):
        signed_nT = -(scale * dots_nT + bias)
        _own_pairs(signed_nT, own.first, span).neg_()
        loss -= functional.logsigmoid(signed_nT).sum()
    return _pull(own, scale, bias, loss / total, slope)


def _pull_softmax(own: Own, scale: Tensor, bias: Tensor, gather: Gather) -> Pull:
    row_n = _log_sum_exp(own.image, own.text_ND, scale)
    column_n = _log_sum_exp(own.text, own.image_ND, scale)
    row_N, column_N = gather(torch.stack([row_n, column_n], 1)).unbind(1)
    positive_n = scale * (own.image * own.text).sum(1)
    loss = ((row_n + column_n) / 2 - positive_n).sum() / len(own.image_ND)

    def slope(logits_nT: Tensor, span: slice, to_texts: bool) -> Tensor:
        mine_n, theirs_N = (row_n, column_N) if to_texts else (column_n, row_N)
        return ((logits_nT - mine_n.unsqueeze(1)).exp() + (logits_nT - theirs_N[span]).exp()) / 2

    return _pull(own, scale, bias, loss, slope)


def _pull(own: Own, scale: Tensor, bias: Tensor, loss: Tensor, slope: Slope) -> Pull:
    """Gradients, given N times the loss's derivative by each logit; for a sample with itself the derivative is 1 less."""
    total = len(own.image_ND)
    gradients = []
    scale_sum, bias_sum = torch.zeros_like(scale), torch.zeros_like(bias)
    for to_texts, mine_nD, all_ND in ((True, own.image, own.text_ND), (False, own.text, own.image_ND)):
        gradient_nD = torch.zeros_like(mine_nD)
        for span, dots_nT in _tiles(mine_nD, all_ND):
            slope_nT = slope(scale * dots_nT + bias, span, to_texts)
            _own_pairs(slope_nT, own.first, span).sub_(1)
            gradient_nD += slope_nT @ all_ND[span]
            if to_texts:  # each pair once
                scale_sum += (slope_nT * dots_nT).sum()
                bias_sum += slope_nT.sum()
        gradients.append(gradient_nD * (scale / total))
    return Pull(loss, gradients[0], gradients[1], scale_sum / total, bias_sum / total)


def _tiles(mine_nD: Tensor, all_ND: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Products of own embeddings with those of all, a span of them at a time."""
    for span in spans(len(all_ND), len(mine_nD)):
        yield span, mine_nD @ all_ND[span].T


def _own_pairs(matrix_nT: Tensor, first: int, span: slice) -> Tensor:
    """View of the entries of a sample with itself (there may be none): own sample i is number first + i of all."""
    return matrix_nT.diagonal(first - span.start)


def _log_sum_exp(mine_nD: Tensor, all_ND: Tensor, scale: Tensor) -> Tensor:
    total_n = mine_nD.new_full((len(mine_nD),), -torch.inf)
    for _, dots_nT in _tiles(mine_nD, all_ND):
        total_n = torch.logaddexp(total_n, (scale * dots_nT).logsumexp(1))
    return total_n
