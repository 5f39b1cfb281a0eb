"""The machine that a training runs on, and its threads and numerical settings."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.utils.deterministic

from superbatch.errors import UserError
from superbatch.options import TrainingSettings
from superbatch.training.distributed import Ranks


def machine() -> str:
    """Name the processor that a run's bits depend on."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"


@contextmanager
def threads(settings: TrainingSettings, ranks: Ranks) -> Iterator[None]:
    """Take as many threads as settings say, and give them back: a run's bits must not depend on what ran before it.

    Ranks of one machine share what it has.
    """
    before = torch.get_num_threads()
    if settings.threads or ranks.world > 1:
        torch.set_num_threads(settings.threads or max(1, before // ranks.neighbours))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def repeatable(device: torch.device, settings: TrainingSettings) -> Iterator[None]:
    """On a GPU: let equal input give equal bits, as on a CPU it does; TF32 for what is left in float32.

    Raises:
        UserError: an operation that gives other bits each time, where settings ask for equal ones.
    """
    if device.type != "cuda":
        yield
        return
    strict, cuda, filling = settings.deterministic, torch.backends.cuda, cast(Any, torch.utils.deterministic)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it matrix products may differ by stream
    before = (
        cuda.matmul.allow_tf32,
        torch.are_deterministic_algorithms_enabled(),
        filling.fill_uninitialized_memory,
        cuda.mem_efficient_sdp_enabled(),
    )
    try:
        cuda.matmul.allow_tf32 = True
        torch.use_deterministic_algorithms(strict)
        filling.fill_uninitialized_memory = False  # it is for finding bugs, and costs time
        if strict:
            cuda.enable_mem_efficient_sdp(
                False
            )  # of the attention kernels the one whose backward pass differs each time
        with _refusals_named():
            yield
    finally:
        cuda.matmul.allow_tf32 = before[0]
        torch.use_deterministic_algorithms(before[1])
        filling.fill_uninitialized_memory = before[2]
        cuda.enable_mem_efficient_sdp(before[3])


@contextmanager
def _refusals_named() -> Iterator[None]:
    """Put torch's refusal of an operation into one line."""
    try:
        yield
    except RuntimeError as error:
        found = re.match(r"(\S+) does not have a deterministic implementation", str(error))
        if found is None:
            raise
        what = f"{found[1]} gives different bits each time on this device"
        raise UserError(
            "training.deterministic", what, "set it to false; runs then differ from each other in their last bits"
        ) from None
