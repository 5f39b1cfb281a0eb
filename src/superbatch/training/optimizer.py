"""AdamW as open_clip groups it, and the learning rate as a pure function of the step."""

from __future__ import annotations

import math

import torch
from torch import nn

from superbatch.options import OptimizerSettings

# Models by name; without an optimiser those that follow.
Kept = dict[str, tuple[nn.Module, torch.optim.Optimizer | None]]


def learning_rate(step: int, steps: int, settings: OptimizerSettings) -> float:
    """Return the learning rate of step 0 <= step < steps: linear warm-up, then a cosine to zero (JEST App. A.1)."""
    warmup = max(1, round(settings.warmup * steps))
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    if settings.schedule == "constant":
        return settings.learning_rate
    progress = (step - warmup) / max(1, steps - warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def make_optimizer(model: nn.Module, settings: OptimizerSettings) -> torch.optim.AdamW:
    """AdamW with two groups: no decay for vectors and scalars (gains, biases, scale), as open_clip's trainer."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    decayed = [p for _, p in named if p.ndim >= 2]
    plain = [p for _, p in named if p.ndim < 2]
    # A sharded model has parameters of two kinds, for which torch needs separate steps.
    groups = [
        {"params": kind, "weight_decay": decay}
        for some, decay in ((decayed, settings.weight_decay), (plain, 0.0))
        for kind in _kinds(some)
    ]
    betas = (settings.beta1, settings.beta2)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=betas, eps=settings.epsilon, fused=True)


def _kinds(parameters: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    kinds: dict[type, list[nn.Parameter]] = {}
    for parameter in parameters:
        kinds.setdefault(type(parameter), []).append(parameter)
    return list(kinds.values())


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give every group the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = value
