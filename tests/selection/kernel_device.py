"""Where the Triton kernel runs in a test: on the GPU where there is one, else on the CPU in Triton's interpreter."""

from __future__ import annotations

import os

import pytest
import torch

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
PLACES = ("interpreter", pytest.param("cuda", marks=needs_cuda))


def environment_at(place: str) -> dict[str, str]:
    """What a process needs to run the kernel at one of the places."""
    plain = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    return plain | ({"TRITON_INTERPRET": "1"} if place == "interpreter" else {})


def kernel_device() -> torch.device:
    """Where the kernel runs in this process; to be asked before Triton is imported, which then settles it."""
    if os.environ.get("TRITON_INTERPRET") == "1" or not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"
        return torch.device("cpu")
    return torch.device("cuda")
