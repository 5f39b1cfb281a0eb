"""One optimiser step of a run's models on the chosen batch: of all of them, or of none.

Shapes: b sub-batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from superbatch.data.fields import Batch
from superbatch.options import TrainingSettings
from superbatch.training.gradients import BatchGradients
from superbatch.training.task import Model, Task
from superbatch.training.watch import BadSteps


@dataclass
class Measured:
    """The result of a training step: loss and gradient norm before clipping, and what was bad, if anything."""

    loss: float
    gradient_norm: float
    bad: str | None = None


@dataclass(frozen=True)
class Trained:
    """What is needed to train a model of a task.

    Attributes:
        name: the model's.
        optimizer: over its parameters.
        gradients: of a batch's loss.
        watch: says what is bad about a loss and gradient norm.
    """

    name: str
    optimizer: torch.optim.Optimizer
    gradients: BatchGradients
    watch: BadSteps = field(default_factory=BadSteps)

    @property
    def model(self) -> Model:
        """The model itself, and on what it is trained."""
        return self.gradients.task.models[self.name]

    @property
    def module(self) -> nn.Module:
        """The model's module."""
        return self.model.module

    def measure(self, share: Batch, total: int, settings: TrainingSettings) -> Measured:
        """Leave the clipped gradients of a batch of so many samples, of which this is a rank's share, in the parameters."""
        loss = self.gradients.backward(share, total)
        norm = self.gradients.bound(settings.optimizer.gradient_clip)
        measured = Measured(float(loss), float(norm.detach()))
        measured.bad = self.watch.verdict(measured.loss, measured.gradient_norm)
        return measured


def train_step(
    task: Task,
    trained: Sequence[Trained],
    share: Batch,
    settings: TrainingSettings,
    step: int = 0,
    lap: Callable[[str], None] = lambda name: None,
    whole: tuple[Batch, int] | None = None,
) -> list[Measured]:
    """Train each model on the same batch of b, or on all that it was chosen from, as the model says.

    Args:
        task: told when the update is made.
        trained: the learner first.
        share: this rank's samples of the batch.
        settings: how.
        step: from 0.
        lap: books the time since its last call under a model's name.
        whole: this rank's slice of the super-batch and B, where a model trains on all of it; None: such a one trains on the batch.

    Returns:
        Loss and gradient norm of each, and what was bad. One that is bad leaves weights, running statistics and optimisers of all as
        they were, so that no model has seen a batch that the others have not.
    """
    before = [pair for one in trained for pair in _running_statistics(one.module)]
    found = []
    for one in trained:
        found.append(one.measure(*trained_on(one.model, share, settings.batch_size, whole), settings))
        lap(one.name)
    good = all(measured.bad is None for measured in found)
    with torch.no_grad():
        for buffer, value in () if good else before:
            buffer.copy_(value)
    for one in trained:
        if good:
            one.optimizer.step()
        one.optimizer.zero_grad(set_to_none=True)
        lap(one.name)
    if good:
        with torch.no_grad():
            task.after_update(step)
    return found


def trained_on(model: Model, share: Batch, b: int, whole: tuple[Batch, int] | None) -> tuple[Batch, int]:
    """Return what of a step a model is trained on, and how many samples that are over all ranks: the batch of b, or the whole super-batch."""
    return whole if whole is not None and model.on_all else (share, b)


def _running_statistics(module: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Buffers that a forward pass in training mode changes, each with a copy; none in a transformer."""
    layers = (m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
    return [(buffer, buffer.clone()) for layer in layers for buffer in layer.buffers()]
