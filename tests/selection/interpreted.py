"""The Triton kernel in Triton's interpreter, on a CPU: run with TRITON_INTERPRET=1; prints what it found as JSON.

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

from superbatch.selection import fused, interactions, select_jointly
from tests.selection import oracle

fused._BLOCK_C, fused._BLOCK_K, fused._BLOCK_D = 32, 16, 16  # small blocks, so that small sizes fill several


def exact(chosen_2KD: Tensor, held_2BD: Tensor, scale: float, bias: float, softmax: bool) -> Tensor:
    logits = torch.einsum("skd,sbd->skb", chosen_2KD.double(), held_2BD.double()) * scale + bias
    if softmax:
        return logits.logsumexp(1)
    return torch.logaddexp(torch.zeros_like(logits), logits).sum((0, 1)).unsqueeze(0)


def kernel(dtype: torch.dtype, softmax: bool, scale: float, num_chosen: int) -> dict[str, Any]:
    """Worst relative error over the candidates, and whether the others were left alone and the order is of no matter."""
    generator = torch.Generator().manual_seed(num_chosen)
    chosen, held = (
        torch.nn.functional.normalize(torch.randn(2, n, 24, generator=generator), dim=-1).to(dtype)
        for n in (num_chosen, 75)
    )
    places, live, bias = torch.randperm(75, generator=generator), 61, 0.0 if softmax else -9.0
    found = fused.pair_sums(chosen, held, places, torch.tensor([live]), scale, bias, softmax)
    again = fused.pair_sums(chosen, held, places.sort().values, torch.tensor([75]), scale, bias, softmax)
    here, there = places[:live], places[live:]
    right = exact(chosen, held, scale, bias, softmax)[:, here]
    return {
        "error": float(((found[:, here] - right).abs() / right.abs().clamp(min=scale if softmax else 0.0)).max()),
        "others": float(found[:, there].abs().max()),
        "same_bits": bool(torch.equal(found[:, here], again[:, here])),
    }


def picks(loss: str) -> dict[str, Any]:
    """A whole selection with the kernel in it against the plain one."""
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
        for dtype in ("float16", "float32")  # Triton 3.9 interprets products of bfloat16 wrongly
        for softmax in (False, True)
        for scale, num_chosen in ((10.0, 1), (10.0, 37), (1e4, 16))
    }
    both = {loss: picks(loss) for loss in ("sigmoid", "softmax")}
    print(json.dumps({"kernels": kernels, "picks": both, "guarded": guarded()}))
