"""The softmax (InfoNCE) loss of CLIP: each image picks its text among the batch's, and each text its image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def softmax_loss(image_ND: Tensor, text_ND: Tensor, scale: Tensor | float, bias: Tensor | float = 0.0) -> Tensor:
    """Mean over samples of -1/2 [log softmax_j(scale z_i . t_j)[i] + log softmax_j(scale t_i . z_j)[i]] (JEST, A.6).

    Args:
        image_ND: image embeddings, one row a sample, usually of unit length.
        text_ND: text embeddings of the same samples in the same order.
        scale: the learner's temperature as a factor (already exponentiated).
        bias: taken so that both losses have one signature; a softmax does not change with it, so it is not used.

    Returns:
        The loss as a scalar, differentiable; equal to open_clip's `ClipLoss` on one rank.
    """
    logits_NN = scale * image_ND @ text_ND.T
    target_N = torch.arange(image_ND.shape[0], device=image_ND.device)
    return (functional.cross_entropy(logits_NN, target_N) + functional.cross_entropy(logits_NN.T, target_N)) / 2


def log_sum_exp(logits: Tensor) -> Tensor:
    """log sum exp over the middle axis of float [A, K, C], summed in float64; overwrites `logits`; float64 [A, C]."""
    largest = logits.amax(1, keepdim=True)
    return logits.sub_(largest).exp_().sum(1, dtype=torch.float64).log_().add_(largest.squeeze(1))
