"""The random state that a model draws from (dropout): of the host and, where it is on a GPU, of that GPU."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def keeping_random_state(device: torch.device) -> Iterator[None]:
    """Whatever is drawn inside is as if it had not been."""
    before = random_state(device)
    try:
        yield
    finally:
        set_random_state(before, device)


def seed_step(seed: int, step: int, rank: int, device: torch.device, what: str = "training") -> None:
    """Let what a rank draws at a step (dropout) be a function of (seed, step, rank) alone, on the host and the rank's device.

    So it does not matter what was drawn before, a resumed run needs no saved state, and no two ranks drop alike.
    """
    key = hashlib.blake2b(f"{seed} {step} {rank} {what}".encode(), digest_size=8).digest()
    number = int.from_bytes(key, "big") >> 1
    if device.type == "cpu":  # `torch.manual_seed` would record a stack trace for each kind of GPU that is missing
        torch.default_generator.manual_seed(number)
    else:
        torch.manual_seed(number)
