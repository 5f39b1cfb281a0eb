"""The contrastive loss and its gradients alone: memory and time of the term (tiles) beside the matrix form (autograd).

Measured by selection.py, for its figure `loss_mib`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from common import interleaved, median, peak_bytes, table
from torch import Tensor

from superbatch.losses import contrastive_loss, contrastive_term

MATRICES = 6  # of b x b float32 numbers: what the matrix form may need at once, and some room for others


class Sizes(NamedTuple):
    """b for the figure, b at which both forms are timed, embedding dimension, how often each is timed."""

    count: int
    timed: int
    dim: int
    repeats: int


FULL, QUICK = Sizes(32_768, 16_384, 512, 2), Sizes(5_120, 5_120, 64, 1)


def call(form: str, name: str, count: int, dim: int, seed: int) -> Callable[[], list[Tensor]]:
    """The loss called `name` and its gradients by embeddings, scale and bias, as a call; `form` is "term" or "matrix"."""
    generator = torch.Generator().manual_seed(seed)
    sides = [torch.randn(count, dim, generator=generator) for _ in range(2)]
    leaves = [torch.nn.functional.normalize(side, dim=1) for side in sides] + [torch.tensor(10.0), torch.tensor(-10.0)]
    del sides
    leaves = [leaf.requires_grad_() for leaf in leaves]

    def run() -> list[Tensor]:
        loss = contrastive_term(name, *leaves) if form == "term" else contrastive_loss(name)(*leaves)
        return [loss, *torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)]

    return run


def warm(form: str, name: str, count: int, dim: int, seed: int) -> Callable[[], list[Tensor]]:
    """The same, after a call at a small size."""
    call(form, name, 64, dim, seed)()
    return call(form, name, count, dim, seed)


def fits(count: int) -> bool:
    """Whether the matrix form can be measured here without taking memory from others."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    return MATRICES * 4 * count**2 < free


def peaks(name: str, sizes: Sizes, seed: int) -> list[dict[str, Any]]:
    """Peak extra bytes of both forms at both sizes, smaller first; the matrix form where it fits."""
    return [
        {"loss": name, "form": form, "count": count, "peak_bytes": peak_bytes(warm, form, name, count, sizes.dim, seed)}
        for count in sorted({sizes.timed, sizes.count})
        for form in ("term", "matrix")
        if form == "term" or fits(count)
    ]


def seconds(name: str, sizes: Sizes, seed: int) -> dict[str, float]:
    """Median seconds of both forms in turns at the smaller size; on one thread CPU seconds."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    calls = {form: warm(form, name, sizes.timed, sizes.dim, seed) for form in ("term", "matrix")}
    return {form: median(taken) for form, taken in interleaved(calls, sizes.repeats, clock).items()}


def measure(quick: bool, seed: int) -> dict[str, Any]:
    """`loss_mib`, the larger of both losses' peaks, with everything it comes from, shown as a table."""
    sizes, found = QUICK if quick else FULL, []
    for name in ("sigmoid", "softmax"):
        taken = seconds(name, sizes, seed)
        found += [row | _timed(row, sizes, taken) for row in peaks(name, sizes, seed)]
    print(f"loss and gradients, d={sizes.dim}, float32")
    lines = [_line(row) for row in found]
    print(table(["", "b", "peak MiB", "seconds", "b x b in MiB"], lines) + "\n", flush=True)
    largest = max(row["peak_bytes"] for row in found if row["form"] == "term" and row["count"] == sizes.count)
    return {"loss_mib": largest / 2**20, "loss_sizes": sizes._asdict(), "loss_cases": found}


def _timed(row: dict[str, Any], sizes: Sizes, taken: dict[str, float]) -> dict[str, float]:
    return {"seconds": taken[row["form"]]} if row["count"] == sizes.timed else {}


def _line(row: dict[str, Any]) -> list[str]:
    taken = f"{row['seconds']:.2f}" if "seconds" in row else "-"
    matrix = f"{4 * row['count'] ** 2 / 2**20:,.0f}"
    return [f"{row['loss']}, {row['form']}", f"{row['count']:,}", f"{row['peak_bytes'] / 2**20:,.0f}", taken, matrix]
