"""The pair losses of a chunk in one Triton kernel: products, softplus or exponential, and the sum over the chosen.

Nothing of size K x C leaves the chip. A program takes a block of candidates and goes over all newly chosen, first the
candidates' texts against their images, then the other way round. What a candidate gets depends on its own row and on
the chosen alone, so it is the same for any layout and any number of ranks.

Shapes: K newly chosen, B places, D dimensions, C candidates of a program.
"""

# ruff: noqa: ANN001
# Triton would compile the annotations of a kernel's arguments.

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK_C, _BLOCK_K, _BLOCK_D = 128, 128, 64


def pair_sums(
    chosen_2KD: Tensor, held_2BD: Tensor, alive_B: Tensor, live: Tensor, scale: float, bias: float, softmax: bool
) -> Tensor:
    """What the newly chosen add to each candidate; waits for nothing.

    Args:
        chosen_2KD: images, then texts, of the newly chosen; float16, bfloat16 or float32, contiguous.
        held_2BD: texts, then images, of everybody; same type, contiguous.
        alive_B: int64, places of the candidates in front.
        live: int64 [1], how many of them are candidates.
        scale: factor of the products.
        bias: added to each.
        softmax: log-sum-exps of the logits, one a direction, instead of the sum of softplus over both.

    Returns:
        float64 [2, B] (softmax) or [1, B], by place; 0 where there is no candidate.
    """
    count, dim = held_2BD.shape[1:]
    out_SB = torch.zeros(2 if softmax else 1, count, dtype=torch.float64, device=held_2BD.device)
    with torch.cuda.device_of(held_2BD):  # Triton launches on the current device, wherever the tensors lie
        _pair_sums[(triton.cdiv(count, _BLOCK_C),)](
            *(chosen_2KD, held_2BD, alive_B, live, out_SB, chosen_2KD.shape[1], dim, count, scale, bias),
            SOFTMAX=softmax,
            BLOCK_C=_BLOCK_C,
            BLOCK_K=_BLOCK_K,
            BLOCK_D=_BLOCK_D,
            num_warps=8,
            num_stages=3,
        )
    return out_SB


@triton.jit
def _pair_sums(  # type: ignore[no-untyped-def]
    chosen,
    held,
    alive,
    live,
    out,
    num_chosen,
    dim,
    count,
    scale,
    bias,
    SOFTMAX: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
) -> None:
    lane_C = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    here_C = lane_C < tl.load(live)
    if tl.program_id(0) * BLOCK_C < tl.load(live):
        place_C = tl.load(alive + lane_C, mask=here_C, other=0)
        total_C = tl.zeros([BLOCK_C], tl.float64)
        for side in tl.static_range(2):
            peak_C = tl.full([BLOCK_C], float("-inf"), tl.float32)
            mass_C = tl.zeros([BLOCK_C], tl.float64)
            for start in range(0, num_chosen, BLOCK_K):
                row_K = start + tl.arange(0, BLOCK_K)
                logits_KC = tl.zeros([BLOCK_K, BLOCK_C], tl.float32)
                for depth in range(0, dim, BLOCK_D):
                    at_D = depth + tl.arange(0, BLOCK_D)
                    left = chosen + (side * num_chosen + row_K[:, None]).to(tl.int64) * dim + at_D[None, :]
                    right = held + (tl.cast(side, tl.int64) * count + place_C[None, :]) * dim + at_D[:, None]
                    left_KD = tl.load(left, mask=(row_K[:, None] < num_chosen) & (at_D[None, :] < dim), other=0.0)
                    right_DC = tl.load(right, mask=here_C[None, :] & (at_D[:, None] < dim), other=0.0)
                    logits_KC = tl.dot(left_KD, right_DC, logits_KC, input_precision="ieee")
                logits_KC = logits_KC * scale + bias
                chosen_K1 = row_K[:, None] < num_chosen
                if SOFTMAX:
                    logits_KC = tl.where(chosen_K1, logits_KC, float("-inf"))
                    higher_C = tl.maximum(peak_C, tl.max(logits_KC, 0))
                    added_C = tl.sum(tl.exp(logits_KC - higher_C[None, :]), 0)
                    mass_C = mass_C * tl.exp(peak_C - higher_C).to(tl.float64) + added_C.to(tl.float64)
                    peak_C = higher_C
                else:
                    small_KC = tl.exp(-tl.abs(logits_KC))
                    above_KC = 1.0 + small_KC
                    # log(1 + e) to full relative precision (Kahan): the rounding of 1 + e is divided out again.
                    exact_KC = tl.where(above_KC > 1.0, above_KC - 1.0, 1.0)
                    log_KC = tl.where(above_KC > 1.0, tl.log(above_KC) * (small_KC / exact_KC), small_KC)
                    soft_KC = tl.maximum(logits_KC, 0.0) + log_KC
                    total_C += tl.sum(tl.where(chosen_K1, soft_KC, 0.0), 0).to(tl.float64)
            if SOFTMAX:
                tl.store(out + side * count + place_C, peak_C.to(tl.float64) + tl.log(mass_C), mask=here_C)
        if not SOFTMAX:
            tl.store(out + place_C, total_C, mask=here_C)
