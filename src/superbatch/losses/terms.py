"""The terms of a training loss: they add with `+`, on one rank and on many, and none builds an N x N matrix.

A batch of N samples may be spread over ranks, each with a share of n. A term's value is this share's summand of the
whole batch's term: those of all ranks add up to it. Its gradients by own outputs are those of the whole, complete, with
nothing to be reduced; those by what all ranks have alike (scale and bias) are this share's summand, to be summed over
ranks, which is what DDP does for parameters. Shapes: N samples of all, n of this share, D embedding, C classes, T of a
tile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from superbatch.errors import UserError
from superbatch.losses import tiles
from superbatch.losses.contrastive import LossName, contrastive_loss
from superbatch.losses.shares import Own, share_pull
from superbatch.losses.tiles import Pull, whole_pull


class Peers(Protocol):
    """The ranks that hold the other samples of a batch."""

    @property
    def total(self) -> int:
        """N, samples of all."""
        ...

    @property
    def first(self) -> int:
        """Number of this share's first sample among all."""
        ...

    def gather(self, mine: Tensor) -> Tensor:
        """[n, ...] of this rank's share in, [N, ...] of all in order out; collective, no gradients."""
        ...


def contrastive_term(
    name: LossName,
    image_nD: Tensor,
    text_nD: Tensor,
    scale: Tensor | float,
    bias: Tensor | float,
    peers: Peers | None = None,
) -> Tensor:
    """The loss called `name` (`sigmoid_loss`, `softmax_loss`) over all pairs of the batch; with peers collective.

    Value and gradients are made together in the forward pass and O(n D) numbers kept, so a second derivative is not to be
    had. Half types are widened to float32 and autocast is off: a sum over N x N pairs needs it. Up to N = 4,096 on one
    rank it is the plain loss to the bit; beyond, and with peers, memory is that of a few tiles of 64 MB.

    Args:
        name: sigmoid or softmax.
        image_nD, text_nD: embeddings of this rank's share, usually of unit length; the same samples in the same order.
        scale, bias: as in the plain losses, the same on all ranks.
        peers: who holds the other samples; None: nobody, these are all.

    Returns:
        This share's summand of the loss, a scalar, differentiable once in all four.

    Raises:
        UserError: another name; image and text embeddings of different shapes.
    """
    contrastive_loss(name)  # knows the names
    if image_nD.shape != text_nD.shape:
        shapes = f"{list(image_nD.shape)} and {list(text_nD.shape)}"
        raise UserError("loss", f"has image and text embeddings {shapes}", "give both for the same samples")
    sides = (widened(image_nD), widened(text_nD))
    numbers = (
        torch.as_tensor(number, dtype=_type(number, sides[0]), device=image_nD.device) for number in (scale, bias)
    )
    return Pulled.apply(partial(_pull, name, peers), *sides, *numbers)


class Pulled(torch.autograd.Function):
    """A loss whose gradients are computed with its value; backward only scales them.

    `apply(pull, *inputs)`: pull returns the value and a gradient by each of the inputs, which it gets without their graph.
    """

    @staticmethod
    def forward(ctx: Any, pull: Callable[..., tuple[Tensor, ...]], *inputs: Tensor) -> Tensor:
        """Make the value, and keep the gradients."""
        with torch.autocast(inputs[0].device.type, enabled=False):
            loss, *gradients = pull(*(tensor.detach() for tensor in inputs))
        ctx.save_for_backward(*gradients)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        """Multiply the gradients that are asked for by the slope."""
        needed = zip(ctx.saved_tensors, ctx.needs_input_grad[1:], strict=True)
        return None, *(gradient * slope if needs else None for gradient, needs in needed)


def _pull(name: LossName, peers: Peers | None, image_nD: Tensor, text_nD: Tensor, scale: Tensor, bias: Tensor) -> Pull:
    if peers is not None:
        image_ND, text_ND = peers.gather(torch.cat([image_nD, text_nD], 1)).split(image_nD.shape[1], 1)
        return share_pull(name, Own(image_ND, text_ND, peers.first, len(image_nD)), scale, bias, peers.gather)
    if len(image_nD) ** 2 <= tiles.TILE_LOGITS:
        return _by_autograd(name, image_nD, text_nD, scale, bias)
    return whole_pull(name, image_nD, text_nD, scale, bias)


def _by_autograd(name: LossName, *inputs: Tensor) -> Pull:
    """The plain loss, used when all logits fit in one tile: it gives the same bits as the recorded runs."""
    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in inputs]
        loss = contrastive_loss(name)(*leaves)
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    return Pull(loss.detach(), *gradients)


def widened(side: Tensor) -> Tensor:
    """Half types as float32, in which a sum over N x N pairs can be made; others as they are."""
    return side.float() if side.dtype in (torch.float16, torch.bfloat16) else side


def _type(number: Tensor | float, side: Tensor) -> torch.dtype:
    """A tensor keeps its own type, a number gets that of the embeddings."""
    return number.dtype if isinstance(number, Tensor) else side.dtype


def cross_entropy_term(
    logits_nC: Tensor, label_n: Tensor, peers: Peers | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Mean over all N samples of -log softmax(logits)[label]; sends nothing.

    Args:
        logits_nC: of this rank's share.
        label_n: int64, 0 to C - 1.
        peers: who holds the other samples; None: nobody, these are all.
        label_smoothing: share of the target that goes to all classes evenly, 0 to 1.

    Returns:
        This share's summand of the mean, a scalar, differentiable.
    """
    total = len(label_n) if peers is None else peers.total
    return functional.cross_entropy(logits_nC, label_n, reduction="sum", label_smoothing=label_smoothing) / total


@torch.no_grad()
def contrastive_rows(
    name: LossName, image_ND: Tensor, text_ND: Tensor, scale: Tensor | float, bias: Tensor | float
) -> Tensor:
    """float64 [N]: each sample's own summand of the loss called `name`, kept apart by image; their mean is the loss.

    Args:
        name: sigmoid or softmax; another is a UserError.
        image_ND, text_ND, scale, bias: as in the plain losses. What is not finite is so in the rows that it reaches.

    Returns:
        Without a graph; memory is that of a few tiles.
    """
    contrastive_loss(name)  # knows the names
    image_ND, text_ND = widened(image_ND), widened(text_ND)
    rows = _sigmoid_rows if name == "sigmoid" else _softmax_rows
    found = [rows(image_ND, text_ND, scale, bias, span) for span in tiles.spans(len(image_ND), len(text_ND))]
    return torch.cat(found) if found else image_ND.new_zeros(0, dtype=torch.float64)


def _sigmoid_rows(
    image_ND: Tensor, text_ND: Tensor, scale: Tensor | float, bias: Tensor | float, span: slice
) -> Tensor:
    logits_TN = scale * image_ND[span] @ text_ND.T + bias
    logits_TN.diagonal(span.start).neg_()
    return -functional.logsigmoid(-logits_TN).sum(1).double()


def _softmax_rows(
    image_ND: Tensor, text_ND: Tensor, scale: Tensor | float, bias: Tensor | float, span: slice
) -> Tensor:
    own_T = torch.arange(len(image_ND), device=image_ND.device)[span]
    both = (
        functional.cross_entropy(scale * mine_ND[span] @ other_ND.T, own_T, reduction="none")
        for mine_ND, other_ND in ((image_ND, text_ND), (text_ND, image_ND))
    )
    return torch.stack(list(both)).double().mean(0)
