"""Fit the scale and bias that minimise a contrastive loss of given embeddings; the sigmoid loss is convex in both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from superbatch.losses.contrastive import LossName, contrastive_loss


class Fitted(NamedTuple):
    """The logarithm of the scale and the bias, scalars, and the mean loss of the batches before and after."""

    log_scale: Tensor
    bias: Tensor
    loss_before: float
    loss_after: float


def mean_loss(
    batches: Sequence[tuple[Tensor, Tensor]], scale: Tensor | float, bias: Tensor | float, name: LossName
) -> Tensor:
    """Mean over batches of the loss called `name`, a scalar.

    Args:
        batches: image and text embeddings, (b, D) each.
        scale, bias: as in the plain losses.
    """
    loss = contrastive_loss(name)
    return torch.stack([loss(images, texts, scale, bias) for images, texts in batches]).mean()


def fit_scale_and_bias(
    batches: Sequence[tuple[Tensor, Tensor]], log_scale: Tensor, bias: Tensor, name: LossName = "sigmoid"
) -> Fitted:
    """Fit scale and bias to batches by L-BFGS, the embeddings as they are.

    Args:
        batches: image and text embeddings, (b, D) each.
        log_scale, bias: where to start, scalars; left as they are.
        name: of the loss; a softmax does not change with the bias, which stays then.
    """
    log_scale, bias = (start.detach().clone().requires_grad_() for start in (log_scale, bias))
    optimizer = torch.optim.LBFGS([log_scale, bias], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = mean_loss(batches, log_scale.exp(), bias, name)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        before = float(mean_loss(batches, log_scale.exp(), bias, name).detach())
        optimizer.step(closure)  # type: ignore[arg-type,no-untyped-call]
    with torch.no_grad():
        return Fitted(log_scale.detach(), bias.detach(), before, float(mean_loss(batches, log_scale.exp(), bias, name)))
