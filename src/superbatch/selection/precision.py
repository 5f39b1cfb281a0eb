"""Keep selection's own products in full precision, whatever the towers use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

_FULL = ("none", "ieee", None)  # None: a torch before 2.9, which has the one switch for all


@contextmanager
def full_precision(device: str) -> Iterator[None]:
    """Multiply float32 in float32: autocast is off inside, and so are TF32 and bfloat16; afterwards all is as it was.

    TF32 has 10 bits of mantissa: scores that are sums over hundreds of pairs, times a gain of 100, would pick others. The
    switches are the process's, so other threads multiply in float32 meanwhile, too.

    Args:
        device: its type, such as "cuda".
    """
    usual, kept = _usual(), [getattr(switch, "fp32_precision", None) for switch in _switches()]
    lowered = usual != "highest" or any(precision not in _FULL for precision in kept)
    try:
        if lowered:
            _set(usual and "highest", ["ieee"] * len(kept))
        with torch.autocast(device, enabled=False):
            yield
    finally:
        if lowered:
            _set(usual, kept)


def _switches() -> list[Any]:
    """Those of products on a GPU and on a CPU; the latter from torch 2.9 on."""
    return [torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)]


def _usual() -> str | None:
    """The older switch over both; None where torch refuses to tell, as the newer ones have been used."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


def _set(usual: str | None, precisions: Sequence[str | None]) -> None:
    """The older switch first, as it moves the newer ones."""
    if usual is not None:
        torch.set_float32_matmul_precision(usual)
    for switch, precision in zip(_switches(), precisions, strict=True):
        if hasattr(switch, "fp32_precision") and precision is not None:
            switch.fp32_precision = precision
