"""A contrastive loss and its gradients in closed form, a tile of logits at a time: no N x N matrix is built.

One process holds all samples. A tile is some images against all texts. For the sigmoid loss one pass over the tiles does
(each logit is made once, as in the matrix form); the softmax loss needs its normalisers first, so a pass more.
Shapes: N samples, T images of a tile, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

TILE_LOGITS = 1 << 24  # logits a tile: 64 MB in float32
_LINEAR = 40.0  # log(1 + e^x) is x from here on, to the last bit of a float64


class Pull(NamedTuple):
    """A loss and its gradients with respect to embeddings, scale and bias."""

    loss: Tensor
    image_nD: Tensor
    text_nD: Tensor
    scale: Tensor
    bias: Tensor


@torch.no_grad()
def whole_pull(name: str, image_ND: Tensor, text_ND: Tensor, scale: Tensor, bias: Tensor) -> Pull:
    """The loss called `name` (`sigmoid_loss`, `softmax_loss`) and its gradients, over tiles, without a graph.

    Args:
        name: sigmoid or softmax.
        image_ND, text_ND: embeddings of all samples, float32 or float64.
        scale, bias: of one number; a softmax does not change with the bias.

    Returns:
        Memory beyond the gradients: three tiles at most.
    """
    pull = _pull_sigmoid if name == "sigmoid" else _pull_softmax
    return pull(image_ND, text_ND, scale, bias)


def spans(total: int, others: int) -> Iterator[slice]:
    """[0, total) in slices so long that each against `others` samples makes a tile, or one at a time."""
    step = max(1, TILE_LOGITS // max(1, others))
    return (slice(start, min(start + step, total)) for start in range(0, total, step))


def _pull_sigmoid(image_ND: Tensor, text_ND: Tensor, scale: Tensor, bias: Tensor) -> Pull:
    pull = _nothing(image_ND, text_ND, scale, bias)
    for span in spans(len(image_ND), len(text_ND)):
        logits_TN = (scale * image_ND[span] @ text_ND.T).add_(bias)
        own_T = logits_TN.diagonal(span.start).neg_()
        pull.loss.add_(functional.softplus(logits_TN, threshold=_LINEAR).sum())
        slope_TN = logits_TN.sigmoid_()
        own_T.neg_()
        _add(pull, slope_TN, image_ND, text_ND, span)
        pull.bias.add_(slope_TN.sum())
    return _mean(pull, scale)


def _pull_softmax(image_ND: Tensor, text_ND: Tensor, scale: Tensor, bias: Tensor) -> Pull:
    pull = _nothing(image_ND, text_ND, scale, bias)
    row_N, column_N = _normalisers(image_ND, text_ND, scale)
    for span in spans(len(image_ND), len(text_ND)):
        logits_TN = scale * image_ND[span] @ text_ND.T
        own_T = logits_TN.diagonal(span.start)
        pull.loss.add_(((row_N[span] + column_N[span]) / 2 - own_T).sum())
        by_column_TN = (logits_TN - column_N).exp_()
        slope_TN = logits_TN.sub_(row_N[span].unsqueeze(1)).exp_().add_(by_column_TN).div_(2)
        del by_column_TN  # before the products allocate memory
        own_T.sub_(1)
        _add(pull, slope_TN, image_ND, text_ND, span)
    return _mean(pull, scale)


def _normalisers(image_ND: Tensor, text_ND: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Log-sum-exps [N] of each image's logits, and of each text's."""
    row_N = image_ND.new_empty(len(image_ND))
    column_N = image_ND.new_full((len(text_ND),), -torch.inf)
    for span in spans(len(image_ND), len(text_ND)):
        logits_TN = scale * image_ND[span] @ text_ND.T
        row_N[span] = logits_TN.logsumexp(1)
        column_N = torch.logaddexp(column_N, logits_TN.logsumexp(0))
    return row_N, column_N


def _nothing(image_ND: Tensor, text_ND: Tensor, scale: Tensor, bias: Tensor) -> Pull:
    """Sums to add to."""
    return Pull(image_ND.new_zeros(()), *(torch.zeros_like(tensor) for tensor in (image_ND, text_ND, scale, bias)))


def _add(pull: Pull, slope_TN: Tensor, image_ND: Tensor, text_ND: Tensor, span: slice) -> None:
    """What a tile adds to the gradients, given N times the loss's derivative by each logit."""
    toward_TD = slope_TN @ text_ND
    pull.image_nD[span] = toward_TD
    pull.text_nD.addmm_(slope_TN.T, image_ND[span])
    pull.scale.add_((toward_TD * image_ND[span]).sum())  # as the sum over slope times product, without the products


def _mean(pull: Pull, scale: Tensor) -> Pull:
    """From sums over samples to means; embeddings meet the scale."""
    total = len(pull.image_nD)
    image_ND, text_ND = (gradient.mul_(scale / total) for gradient in (pull.image_nD, pull.text_nD))
    return Pull(pull.loss / total, image_ND, text_ND, pull.scale / total, pull.bias / total)
