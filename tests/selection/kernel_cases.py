"""Cases of the Triton kernel, on a GPU or interpreted (see kernel_device); prints what it found as JSON.

In a process of its own, because Triton decides when it is imported whether it interprets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from superbatch.selection import interactions, select_jointly
from tests.selection import oracle
from tests.selection.kernel_device import kernel_device

DEVICE = kernel_device()
INTERPRETED = DEVICE.type == "cpu"

from superbatch.selection import fused  # noqa: E402 - it imports Triton

if INTERPRETED:
    fused._BLOCK_C, fused._BLOCK_K, fused._BLOCK_D = 32, 16, 16  # small blocks, so that small sizes fill several
DIM, COUNT, LIVE, SOME, MANY = (24, 75, 61, 16, 37) if INTERPRETED else (136, 700, 611, 128, 333)
DTYPES = ("float16", "float32") if INTERPRETED else ("float16", "bfloat16")  # Triton 3.9 interprets bfloat16 wrongly

Made = Callable[[int, torch.Generator], Tensor]


def usual(count: int, generator: torch.Generator) -> Tensor:
    """[2, count, D] of unit length."""
    return torch.nn.functional.normalize(torch.randn(2, count, DIM, generator=generator), dim=-1)


def exact(count: int, generator: torch.Generator) -> Tensor:
    """[2, count, D], eighths of small integers: products and their sums are exact, in whatever order they are added."""
    return torch.randint(-3, 4, (2, count, DIM), generator=generator) / 8


class Case:
    """Newly chosen and held embeddings of one setting, and the held ones' order: the first LIVE are candidates."""

    def __init__(self, made: Made, dtype: torch.dtype, softmax: bool, scale: float, num_chosen: int) -> None:
        generator = torch.Generator().manual_seed(num_chosen)
        self.chosen_2KD, self.held_2BD = (made(count, generator).to(dtype) for count in (num_chosen, COUNT))
        self.places_B = torch.randperm(COUNT, generator=generator)
        self.settings = scale, 0.0 if softmax else -9.0, softmax

    def found(self, places_B: Tensor, live: int) -> Tensor:
        """The kernel's answer, by place."""
        tensors = self.chosen_2KD, self.held_2BD, places_B, torch.tensor([live])
        return fused.pair_sums(*(tensor.to(DEVICE) for tensor in tensors), *self.settings).cpu()

    def right(self) -> Tensor:
        scale, bias, softmax = self.settings
        products_2KB = torch.einsum("skd,sbd->skb", self.chosen_2KD.double(), self.held_2BD.double())
        logits_2KB = products_2KB * scale + bias
        if softmax:
            return logits_2KB.logsumexp(1)
        return torch.logaddexp(torch.zeros_like(logits_2KB), logits_2KB).sum((0, 1)).unsqueeze(0)


def closeness(case: Case) -> dict[str, float]:
    """Worst relative error over the candidates, and what the others got."""
    found, right = case.found(case.places_B, LIVE), case.right()
    scale, _, softmax = case.settings
    error = (found - right).abs() / right.abs().clamp(min=scale if softmax else 0.0)
    here, there = case.places_B[:LIVE], case.places_B[LIVE:]
    return {"error": float(error[:, here].max()), "others": float(found[:, there].abs().max())}


def same_bits(case: Case) -> bool:
    """Whether the candidates get the same in another order, among others."""
    here = case.places_B[:LIVE]
    one, other = case.found(case.places_B, LIVE), case.found(case.places_B.sort().values, COUNT)
    return torch.equal(one[:, here], other[:, here])


def kernel(*setting: Any) -> dict[str, Any]:
    """All of one setting.

    An interpreted product is the processor's own matrix product, which may round by a column's place: there the bits
    are asked for where nothing is rounded.
    """
    return closeness(Case(usual, *setting)) | {"same_bits": same_bits(Case(exact if INTERPRETED else usual, *setting))}


def picks(loss: str) -> dict[str, Any]:
    """A whole selection with the kernel in it against the plain one, both on the CPU."""
    pair = [oracle.make_pairs(90, 20, seed, scale=15.0, bias=-6.0, dtype=torch.float32) for seed in (1, 2)]
    plain = select_jointly(*pair, 30, num_chunks=4, gain=5.0, loss=loss)
    calls: list[int] = []
    usual, interactions.fusable = interactions.fusable, lambda held: bool(calls.append(1) or True)
    ours = select_jointly(*pair, 30, num_chunks=4, gain=5.0, loss=loss)
    interactions.fusable = usual
    return {
        "calls": len(calls),
        "same": ours.indices.tolist() == plain.indices.tolist(),
        "error": float((ours.conditional - plain.conditional).abs().max()),
    }


def guarded() -> list[str]:
    """What is entered, launched and left, in that order, when the kernel is called."""
    seen: list[str] = []
    held = torch.randn(2, 40, 8)

    @contextmanager
    def noting(tensor: Tensor) -> Iterator[None]:
        seen.append("entered" if tensor is held else "entered for another tensor")
        yield
        seen.append("left")

    class Launched:
        def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
            return lambda *_, **__: seen.append("launched")

    with (
        mock.patch.object(torch.cuda, "device_of", noting),
        mock.patch.object(fused, "_pair_sums", Launched()),
    ):
        fused.pair_sums(torch.randn(2, 5, 8), held, torch.arange(40), torch.tensor([40]), 1.0, 0.0, False)
    return seen


if __name__ == "__main__":
    kernels = {
        f"{dtype} {softmax} {scale} {num_chosen}": kernel(getattr(torch, dtype), softmax, scale, num_chosen)
        for dtype in DTYPES
        for softmax in (False, True)
        for scale, num_chosen in ((10.0, 1), (10.0, MANY), (1e4, SOME))
    }
    losses = ("sigmoid", "softmax") if INTERPRETED else ()  # on a GPU test_fused asks for whole selections itself
    found = {"kernels": kernels, "picks": {loss: picks(loss) for loss in losses}, "guarded": guarded()}
    print(json.dumps(found | {"tolerance": 3e-6 if INTERPRETED else 1e-5}))  # a GPU's exp is an approximation
