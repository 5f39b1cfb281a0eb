"""A rank's part of a contrastive loss over the pairs of all ranks, with its gradients in closed form.

Every rank holds the embeddings of all samples and n of them as its own. It computes what its own embeddings need and
nothing else: logits of own images against all texts and of own texts against all images, a tile at a time, so that
no N x N matrix is built. Nothing but embeddings (and, for softmax, one normaliser a sample) has to be sent, and
gradients of embeddings need no reduction. Shapes: N samples of all ranks, n of this one, T of a tile, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from superbatch.errors import UserError

TILE_LOGITS = 1 << 24  # logits a tile: 64 MB in float32
Gather = Callable[[Tensor], Tensor]  # [n, ...] of this rank -> [N, ...] of all, in order


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


class Pull(NamedTuple):
    """A loss and where it pulls: complete gradients of own embeddings; of the rest, the terms of all ranks add up."""

    loss: Tensor
    image_nD: Tensor
    text_nD: Tensor
    scale: Tensor
    bias: Tensor


def loss_part(name: str, own: Own, scale: Tensor, bias: Tensor, gather: Gather, tile: int | None = None) -> Pull:
    """Own part of the loss called `name` (see `sigmoid_loss` and `softmax_loss`), without a graph.

    Args:
        name: sigmoid or softmax.
        own: all embeddings, and which are this rank's.
        scale, bias: scalars; a softmax does not change with the bias.
        gather: puts the numbers of all ranks end to end; collective.
        tile: samples a tile; by default what keeps a tile's logits at 64 MB.

    Returns:
        The part of the loss (the parts of all ranks add up to it) and the gradients of the whole loss.

    Raises:
        UserError: another name.
    """
    if name not in ("sigmoid", "softmax"):
        raise UserError("loss", f"{name!r} is not known", "use one of sigmoid, softmax")
    tile = tile or max(1, TILE_LOGITS // max(1, own.samples))
    with torch.no_grad():
        if name == "sigmoid":
            return _sigmoid(own, scale, bias, tile)
        return _softmax(own, scale, torch.zeros_like(scale), gather, tile)


def _sigmoid(own: Own, scale: Tensor, bias: Tensor, tile: int) -> Pull:
    total = len(own.image_ND)

    def slope(logits_nT: Tensor, span: slice, to_texts: bool) -> Tensor:
        return logits_nT.sigmoid()

    loss = scale.new_zeros(())
    for span, dots_nT in _tiles(own.image, own.text_ND, tile):
        signed_nT = -(scale * dots_nT + bias)
        _own_pairs(signed_nT, own.first, span).neg_()
        loss -= functional.logsigmoid(signed_nT).sum()
    return _pull(own, scale, bias, tile, loss / total, slope)


def _softmax(own: Own, scale: Tensor, bias: Tensor, gather: Gather, tile: int) -> Pull:
    row_n = _log_sum_exp(own.image, own.text_ND, scale, tile)
    column_n = _log_sum_exp(own.text, own.image_ND, scale, tile)
    row_N, column_N = gather(torch.stack([row_n, column_n], 1)).unbind(1)
    positive_n = scale * (own.image * own.text).sum(1)
    loss = ((row_n + column_n) / 2 - positive_n).sum() / len(own.image_ND)

    def slope(logits_nT: Tensor, span: slice, to_texts: bool) -> Tensor:
        mine_n, theirs_N = (row_n, column_N) if to_texts else (column_n, row_N)
        return ((logits_nT - mine_n.unsqueeze(1)).exp() + (logits_nT - theirs_N[span]).exp()) / 2

    return _pull(own, scale, bias, tile, loss, slope)


def _pull(
    own: Own,
    scale: Tensor,
    bias: Tensor,
    tile: int,
    loss: Tensor,
    slope: Callable[[Tensor, slice, bool], Tensor],
) -> Pull:
    """Gradients, given N times the loss's derivative by each logit; by that of a sample with itself it is 1 less."""
    total = len(own.image_ND)
    gradients = []
    scale_part, bias_part = torch.zeros_like(scale), torch.zeros_like(bias)
    for to_texts, mine_nD, all_ND in ((True, own.image, own.text_ND), (False, own.text, own.image_ND)):
        gradient_nD = torch.zeros_like(mine_nD)
        for span, dots_nT in _tiles(mine_nD, all_ND, tile):
            slope_nT = slope(scale * dots_nT + bias, span, to_texts)
            _own_pairs(slope_nT, own.first, span).sub_(1)
            gradient_nD += slope_nT @ all_ND[span]
            if to_texts:  # each pair once
                scale_part += (slope_nT * dots_nT).sum()
                bias_part += slope_nT.sum()
        gradients.append(gradient_nD * (scale / total))
    return Pull(loss, gradients[0], gradients[1], scale_part / total, bias_part / total)


def _tiles(mine_nD: Tensor, all_ND: Tensor, tile: int) -> Iterator[tuple[slice, Tensor]]:
    """Products of own embeddings with those of all, a span of them at a time."""
    for start in range(0, len(all_ND), tile):
        span = slice(start, min(start + tile, len(all_ND)))
        yield span, mine_nD @ all_ND[span].T


def _own_pairs(matrix_nT: Tensor, first: int, span: slice) -> Tensor:
    """View of the entries in which a sample meets itself (there may be none): own sample i is number first + i of all."""
    return matrix_nT.diagonal(first - span.start)


def _log_sum_exp(mine_nD: Tensor, all_ND: Tensor, scale: Tensor, tile: int) -> Tensor:
    total_n = mine_nD.new_full((len(mine_nD),), -torch.inf)
    for _, dots_nT in _tiles(mine_nD, all_ND, tile):
        total_n = torch.logaddexp(total_n, (scale * dots_nT).logsumexp(1))
    return total_n
