"""A context manager to evaluate a model without changing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Put a model into evaluation mode and back: dropout draws no random number then, and running statistics stay."""
    training = model.training
    model.eval()
    try:
        yield model
    finally:
        model.train(training)
