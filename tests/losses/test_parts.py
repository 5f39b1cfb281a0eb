"""The parts of a loss: they add up to it, and their gradients are autograd's, in float64."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from superbatch.errors import UserError
from superbatch.losses import contrastive_loss
from superbatch.losses.parts import Own, Pull, loss_part

COUNT = 23


def inputs(scale: float) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    sides = [torch.randn(COUNT, 7, generator=generator, dtype=torch.float64) for _ in range(2)]
    image, text = (torch.nn.functional.normalize(side, dim=1) for side in sides)
    return [image, text, torch.tensor(scale, dtype=torch.float64), torch.tensor(-2.0, dtype=torch.float64)]


def parts_of(name: str, edges: list[int], tile: int | None, scale: float) -> list[Pull]:
    """All ranks' parts, one after the other: the first round only notes what each would send."""
    image, text, *rest = inputs(scale)
    sent: list[Tensor] = []

    def note(numbers: Tensor) -> Tensor:
        sent.append(numbers)
        return numbers.new_zeros(COUNT, *numbers.shape[1:])

    owns = [Own(image, text, start, stop - start) for start, stop in pairwise(edges)]
    for own in owns:
        loss_part(name, own, *rest, note, tile)
    everybody = torch.cat(sent) if sent else image
    return [loss_part(name, own, *rest, lambda numbers: everybody, tile) for own in owns]


@pytest.mark.parametrize("name", ["sigmoid", "softmax"])
@pytest.mark.parametrize("edges", [[0, 23], [0, 11, 23], [0, 1, 20, 23]])
@pytest.mark.parametrize(("tile", "scale"), [(None, 10.0), (1, 10.0), (6, 100.0)])
def test_parts_add_up_to_the_loss_and_its_gradients(name, edges, tile, scale):
    leaves = [tensor.requires_grad_() for tensor in inputs(scale)]
    loss = contrastive_loss(name)(*leaves)
    expected = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    parts = parts_of(name, edges, tile, scale)
    found = [
        torch.cat([part.image_nD for part in parts]),
        torch.cat([part.text_nD for part in parts]),
        sum(part.scale for part in parts),
        sum(part.bias for part in parts),
    ]
    torch.testing.assert_close(sum(part.loss for part in parts), loss.detach(), rtol=1e-12, atol=1e-14)
    for ours, autograd in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, autograd, rtol=1e-10, atol=1e-13)


def test_another_loss_is_refused():
    image, text, *rest = inputs(1.0)
    with pytest.raises(UserError, match="'hinge' is not known"):
        loss_part("hinge", Own(image, text, 0, COUNT), *rest, lambda numbers: numbers)
