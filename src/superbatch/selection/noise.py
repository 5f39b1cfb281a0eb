"""Gumbel noise as a pure function of (seed, step, chunk, row): no generator, no state, any layout, any device.

SplitMix64 (Steele, Lea, Flood, 2014) in int64 arithmetic: each (seed, step, chunk) keys a stream, the row is the place
in it.
"""

from __future__ import annotations

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def gumbel(seed: int, step: int, chunks: range, rows_B: Tensor) -> Tensor:
    """Standard Gumbel noise.

    Args:
        seed: the run's seed.
        step: the training step.
        chunks: which chunks of the step.
        rows_B: int64, the row numbers of the samples.

    Returns:
        float64 [len(chunks), B] on the device of `rows_B`, always finite.
    """
    keys = [_signed(_stream(seed, step, chunk)) for chunk in chunks]
    bits = torch.tensor(keys, device=rows_B.device).unsqueeze(1) + (rows_B + 1) * _signed(_GOLDEN)
    bits = _shift_xor(bits, 30).mul_(_signed(_MIX_1))
    bits = _shift_xor(bits, 27).mul_(_signed(_MIX_2))
    bits = _shift_xor(bits, 31)
    # 52 bits and a half: exact in float64 and never 0 or 1, so both logarithms are finite.
    uniform = _logical_shift(bits, 12).double().add_(0.5).mul_(2.0**-52)
    return uniform.log_().neg_().log_().neg_()


def _stream(*parts: int) -> int:
    """A 64-bit key out of whole numbers, by chaining the finaliser over them."""
    key = 0
    for part in parts:
        key = _mix((key + part + 1) * _GOLDEN & _MASK)
    return key


def _mix(word: int) -> int:
    word = (word ^ (word >> 30)) * _MIX_1 & _MASK
    word = (word ^ (word >> 27)) * _MIX_2 & _MASK
    return word ^ (word >> 31)


def _signed(word: int) -> int:
    """The same 64 bits as a signed number, as torch holds them."""
    return word - (1 << 64) if word >> 63 else word


def _logical_shift(bits: Tensor, places: int) -> Tensor:
    """Shift right and fill with zeros (torch repeats the sign)."""
    return (bits >> places).bitwise_and_((1 << (64 - places)) - 1)


def _shift_xor(bits: Tensor, places: int) -> Tensor:
    return _logical_shift(bits, places).bitwise_xor_(bits)
