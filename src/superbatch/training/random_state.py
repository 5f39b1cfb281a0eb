"""The random state that a model draws from (dropout): of the host and, where it is on a GPU, of that GPU."""

from __future__ import annotations

import torch
from torch import Tensor


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Return it as tensors by name."""
    states = {"rng": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_random_state(states: dict[str, Tensor], device: torch.device) -> None:
    """Go back to what `random_state` returned; the GPU's is set where both then and now there is one."""
    torch.set_rng_state(states["rng"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
