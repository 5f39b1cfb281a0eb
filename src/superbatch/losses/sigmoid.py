"""The sigmoid loss of SigLIP (JEST, appendix A.6): every image against every text, each pair a yes or a no."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sigmoid_loss(image_ND: Tensor, text_ND: Tensor, scale: Tensor | float, bias: Tensor | float) -> Tensor:
    """Sum over texts, mean over images, of -log sigmoid(y (scale z_i . t_j + bias)) with y = +1 on the diagonal, else
    -1.

    Args:
        image_ND: image embeddings, one row a sample, usually of unit length.
        text_ND: text embeddings of the same samples in the same order.
        scale: the learner's temperature as a factor (already exponentiated).
        bias: added to every logit (SigLIP starts at -10).

    Returns:
        The loss as a scalar, differentiable in all four; equal to open_clip's `SigLipLoss` on one rank.
    """
    signed_NN = -(scale * image_ND @ text_ND.T + bias)
    signed_NN.diagonal().neg_()
    return -functional.logsigmoid(signed_NN).sum() / image_ND.shape[0]


def softplus_sum(logits: Tensor, upper: float) -> Tensor:
    """Sum of log(1 + exp(x)) over the first two axes, in float64; overwrites `logits`.

    One logarithm serves many terms: sum log(1 + e_k) = log(1 + p) with p folded up by p <- p + e + p e, which only adds
    positive numbers and so keeps the relative precision of log1p; first in float32 as far as its range goes, then in
    float64. Above a limit softplus is the identity to the last bit.

    Args:
        logits: float32 or float64 [A, K, C].
        upper: a number that no logit exceeds; says how many terms fit into one product without overflow.

    Returns:
        float64 [C].
    """
    limit, room = (40.0, 700.0) if logits.dtype == torch.float64 else (20.0, 85.0)
    if upper > limit and not logits.is_cuda:
        upper = float(logits.max())  # bounds are rarely reached; checking them on a GPU would cost a synchronization
    excess: Tensor | float = 0.0
    if upper > limit:
        excess = (logits - limit).clamp_(min=0).sum((0, 1), dtype=torch.float64)
        logits.clamp_(max=limit)
    term = max(0.0, min(upper, limit)) + 0.7  # log(1 + e^x) <= max(x, 0) + log 2
    product, terms = _fold(logits.exp_(), 1, room / term)
    product, _ = _fold(product.double(), terms, 700.0 / term)
    return product.log1p_().sum((0, 1)) + excess


def _fold(product: Tensor, terms: int, most: float) -> tuple[Tensor, int]:
    """Halves the middle axis of [A, K, C] in place, (1 + p) (1 + e) - 1 = p + p e + e, until `most` terms are in a
    product.

    Returns:
        What is left, and how many terms are in each product now.
    """
    while product.shape[1] > 1 and 2 * terms <= most:
        count = product.shape[1]
        head, tail = product[:, : count // 2], product[:, (count + 1) // 2 :]  # an odd one in the middle is left alone
        head.addcmul_(head, tail).add_(tail)
        product, terms = product[:, : (count + 1) // 2], 2 * terms
    return product, terms
