"""The plain contrastive losses by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from superbatch.errors import UserError
from superbatch.losses.sigmoid import sigmoid_loss
from superbatch.losses.softmax import softmax_loss

LossName = Literal["sigmoid", "softmax"]
ContrastiveLoss = Callable[[Tensor, Tensor, Tensor | float, Tensor | float], Tensor]

_LOSSES: dict[str, ContrastiveLoss] = {"sigmoid": sigmoid_loss, "softmax": softmax_loss}


def contrastive_loss(name: LossName) -> ContrastiveLoss:
    """The loss called `name`: a function (image_ND, text_ND, scale, bias) -> scalar; another name is a UserError."""
    if name not in _LOSSES:
        raise UserError("loss", f"{name!r} is not known", f"use one of {', '.join(_LOSSES)}")
    return _LOSSES[name]
