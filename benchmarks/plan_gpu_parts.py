"""What a step of a real size consists of, measured on this machine: operations, parameters, activations. A part of `plan_gpu.py`.

Operations are the project's account, which is exact. Bytes of activations are what autograd keeps for the backward pass of a few samples, in
bfloat16 as on a GPU; they grow with the samples, so a sample's share is the difference between two batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from common import parameters
from torch import Tensor, nn

from superbatch.config import learner_settings
from superbatch.data.fields import Batch
from superbatch.models import build_model
from superbatch.options import LearnerSettings, TrainingSettings
from superbatch.tasks import Contrastive, Reference
from superbatch.tasks.contrastive import IMAGE, TOKENS
from superbatch.tasks.flexi import IMAGE_LOW, LOW, Flexi
from superbatch.training.flops import Account, Forwards
from superbatch.training.task import LEARNER

FEW = 2  # samples that activations are measured on, and twice as many
HALF, WHOLE = 2, 4  # bytes of a number


@dataclass(frozen=True)
class Parts:
    """A preset's parts at a size.

    Attributes:
        batch, super_batch: b, and B where a batch is chosen, else 0.
        chunks: N.
        steps: of the training.
        score_batch: samples of a scoring pass.
        dim: numbers of an embedding.
        parameters: of the learner.
        activation: bytes that a trained sample keeps for the backward pass.
        pixels, tokens: bytes of a sample's image at full size, and of its caption.
        scored_pixels: bytes of an image as it is scored.
        widest: bytes of a sample's largest tensor in a forward pass, in bfloat16.
        forwards: operations by sample.
    """

    batch: int
    super_batch: int
    chunks: int
    steps: int
    score_batch: int
    dim: int
    parameters: int
    activation: float
    pixels: int
    tokens: int
    scored_pixels: int
    widest: int
    forwards: Forwards

    def account(self, accumulate: int) -> Account:
        """Return the account of a run with so many micro-batches."""
        return Account.of(self.forwards, TrainingSettings(batch_size=self.batch, accumulate=accumulate), 0)


@cache
def parts(environment: str, preset: str) -> Parts:
    """Measure a preset's parts at the size of an environment, on the CPU."""
    found = parameters(environment)
    return measured(learner_settings(found["learner"], found[preset].get("learner"), preset))


def measured(settings: LearnerSettings) -> Parts:
    """Build the model and measure what a step is made of."""
    training, selection = settings.training, settings.selection
    clip = build_model(settings.model, loss=training.loss, batch_size=training.batch_size, seed=0)
    reference = Reference(10.0, -10.0)
    task = (
        Contrastive(clip, training, selection, reference)
        if settings.flexi is None
        else Flexi(clip, training, selection, settings.flexi, reference)
    )
    task.place(torch.device("cpu"), training)
    cfg, side = clip.config["model_cfg"], clip.image_size
    low = side if not isinstance(task, Flexi) else task.view.image_size
    patches = (side // cfg["vision_cfg"]["patch_size"]) ** 2 if not isinstance(task, Flexi) else _tokens(task)
    chooses = selection.method != "uniform"
    return Parts(
        batch=training.batch_size,
        super_batch=settings.super_batch_size if chooses else 0,
        chunks=selection.num_chunks,
        steps=training.steps,
        score_batch=training.score_batch,
        dim=cfg["embed_dim"],
        parameters=sum(p.numel() for p in clip.model.parameters()),
        activation=activation(task, side, clip.context_length),
        pixels=3 * side**2,
        tokens=8 * clip.context_length,
        scored_pixels=3 * low**2,
        widest=HALF * 4 * cfg["vision_cfg"]["width"] * (patches + 1),
        forwards=task.forwards(),
    )


def _tokens(task: Flexi) -> int:
    """Patches of an image in the low view."""
    return task.view.kept or task.view.grid[1] ** 2


def activation(task: Contrastive, side: int, context: int) -> float:
    """Return bytes that a trained sample keeps for the backward pass, as on a GPU."""
    return (kept(task, side, context, 2 * FEW) - kept(task, side, context, FEW)) / FEW


def kept(task: Contrastive, side: int, context: int, samples: int) -> int:
    """Return the bytes that autograd keeps of a forward pass in bfloat16: each piece of memory once.

    On a GPU layer normalisation works in float32 and keeps its input so, where a CPU keeps bfloat16: the difference is added.
    """
    batch = _batch(task, side, context, samples)
    pieces: dict[int, int] = {}
    normalised: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            pieces[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    def look(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        normalised.append((WHOLE - inputs[0].element_size()) * inputs[0].numel())

    module = task.models[LEARNER].module.train()
    hooks = [one.register_forward_pre_hook(look) for one in module.modules() if isinstance(one, nn.LayerNorm)]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        held = task.outputs(LEARNER, batch)
    for hook in hooks:
        hook.remove()
    del held
    return sum(pieces.values()) + sum(normalised)


def _batch(task: Contrastive, side: int, context: int, samples: int) -> Batch:
    """Make up samples, of which each second one trains low where there is a low view."""
    fields = {
        IMAGE: torch.zeros(samples, 3, side, side, dtype=torch.uint8),
        TOKENS: torch.ones(samples, context, dtype=torch.int64),
    }
    if isinstance(task, Flexi):
        small = task.view.image_size
        fields[LOW] = torch.tensor([0, 1] * (samples // 2), dtype=torch.uint8)
        fields[IMAGE_LOW] = torch.zeros(samples, 3, small, small, dtype=torch.uint8)
    return Batch(np.arange(samples), fields)
