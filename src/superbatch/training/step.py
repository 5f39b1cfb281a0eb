"""One step of a learner: score the super-batch, choose, train on the chosen. Each part is a function of what it is given.

Shapes: B super-batch, b sub-batch, S image side, L tokens, d embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from superbatch.losses import LossName, contrastive_loss
from superbatch.models import ClipModel, evaluating
from superbatch.options import SelectionSettings, TrainingSettings
from superbatch.selection import (
    PairEmbeddings,
    Selection,
    select_independently,
    select_jointly,
    select_jointly_sharded,
)
from superbatch.training.distributed import ALONE, Ranks
from superbatch.training.job import Reference
from superbatch.training.watch import BadSteps


@dataclass(frozen=True)
class Batch:
    """Samples on the device: row numbers, uint8 pixels (n, 3, S, S), token ids (n, L)."""

    rows: np.ndarray
    pixels: Tensor
    token_ids: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: Tensor) -> Batch:
        """Return the samples at these positions, pixels and ids re-used as they are."""
        return Batch(self.rows[indices.cpu().numpy()], self.pixels[indices], self.token_ids[indices])


@dataclass(frozen=True)
class Towers:
    """The model with what turns uint8 pixels into its input, and its arithmetic."""

    clip: ClipModel
    mean: Tensor
    inverse_std: Tensor
    autocast: bool
    compiled: tuple[Callable[..., Tensor], Callable[..., Tensor]] | None = None

    @classmethod
    def of(cls, clip: ClipModel, device: torch.device, precision: str, compiled: bool = False) -> Towers:
        """Put the normalisation on the device; bf16 where asked for, or by default on a GPU; torch.compile where asked for."""
        mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) * 255 for v in clip.mean_std)
        bf16 = precision == "bf16" or (precision == "auto" and device.type == "cuda")
        model: Any = clip.model  # open_clip has two kinds, with the same methods
        both = (torch.compile(model.encode_image), torch.compile(model.encode_text)) if compiled else None
        return cls(clip, mean, 1 / std, bf16, both)

    def precision(self) -> AbstractContextManager[None]:
        """Autocast to bfloat16, or nothing."""
        device = self.mean.device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.autocast)

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return normalised image and text embeddings, float32 (n, d) each."""
        model = self.clip.model
        encode_image, encode_text = self.compiled or (model.encode_image, model.encode_text)
        with self.precision():
            images = (batch.pixels.float() - self.mean) * self.inverse_std
            image_nd = encode_image(images, normalize=True)
            text_nd = encode_text(batch.token_ids, normalize=True)
        return image_nd.float(), text_nd.float()

    def scale_and_bias(self) -> tuple[Tensor, Tensor | float]:
        """Return exp(logit_scale) and logit_bias as tensors that carry gradients; the bias is 0 where there is none."""
        bias = getattr(self.clip.model, "logit_bias", None)
        return self.clip.model.logit_scale.exp(), 0.0 if bias is None else bias


def score_slice(settings: TrainingSettings, device: torch.device) -> int:
    """Return how many samples go through the scoring pass at once: on a CPU few, whose activations stay in the cache."""
    return settings.score_batch or (128 if device.type == "cpu" else 1_024)


@torch.no_grad()
def score(towers: Towers, batch: Batch, forward_batch: int, name: str = "learner") -> PairEmbeddings:
    """Embed a super-batch without a graph and in evaluation mode, a slice at a time; `name` is what errors call the model."""
    slices = torch.arange(len(batch), device=batch.pixels.device).split(forward_batch)
    with evaluating(towers.clip.model):
        parts = [towers.embed(batch.take(indices)) for indices in slices]
    images, texts = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    scale, bias = towers.clip.scale_and_bias()
    return PairEmbeddings(images, texts, scale, bias, name)


def choose(
    learner: PairEmbeddings | None,
    reference: Reference | None,
    rows: np.ndarray,
    num_select: int,
    rule: SelectionSettings,
    loss: str,
    seed: int,
    step: int,
    ranks: Ranks = ALONE,
    device: torch.device | None = None,
) -> Selection:
    """Select `num_select` of a scored super-batch by the rule; the noise is keyed by (seed, step, chunk, row).

    `learner` is the super-batch as the learner sees it, or whoever scores in its place; it may be None for the easy-reference criterion,
    as `reference` for the hard-learner one. With several ranks `learner` and `rows` are a rank's slice, and all get the same selection
    of the whole super-batch. `device`, where to select, is that of the learner's embeddings unless it is given.
    """
    if device is None:
        device = learner.image_ND.device if learner is not None else torch.device("cpu")
    cached = None
    if reference is not None and rule.criterion != "hard_learner":
        images, texts = (torch.from_numpy(array).to(device) for array in reference.embeddings.rows(rows))
        cached = PairEmbeddings(images, texts, reference.scale, reference.bias, "reference")
    common: dict[str, Any] = {
        "gain": rule.gain,
        "criterion": rule.criterion,
        "loss": loss,
        "seed": seed,
        "step": step,
        "rows": torch.from_numpy(rows),
    }
    if ranks.world > 1:  # independent selection is joint selection that ends with its first chunk
        chunks = 1 if rule.method == "independent" else rule.num_chunks
        return select_jointly_sharded(learner, cached, num_select, num_chunks=chunks, **common)
    if rule.method == "independent":
        return select_independently(learner, cached, num_select, **common)
    return select_jointly(learner, cached, num_select, num_chunks=rule.num_chunks, **common)


@dataclass
class Measured:
    """What a training step showed: loss and gradient norm before clipping, and what was bad, if anything."""

    loss: float
    gradient_norm: float
    bad: str | None = None


@dataclass(frozen=True)
class Trained:
    """A model in training: the learner, or the proxy that scores in its place.

    Attributes:
        towers: the model.
        optimizer: over its parameters.
        backward: leaves the gradients in the parameters and returns the loss, where the batch is cut over ranks or micro-batches;
            None: the whole batch here, in one graph.
        watch: says what is bad about a loss and gradient norm.
        part: of a step's time (`watch.PARTS`) that its training is.
    """

    towers: Towers
    optimizer: torch.optim.Optimizer
    backward: Callable[[Batch], Tensor] | None = None
    watch: BadSteps = field(default_factory=BadSteps)
    part: str = "train"

    @property
    def model(self) -> nn.Module:
        """The module itself."""
        return self.towers.clip.model

    def gradients(self, batch: Batch, settings: TrainingSettings) -> Measured:
        """Leave the clipped gradients of a batch of b in the parameters."""
        loss = self.backward(batch) if self.backward is not None else _backward(self.towers, batch, settings.loss)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), settings.optimizer.gradient_clip)
        measured = Measured(float(loss.detach()), float(norm.detach()))
        measured.bad = self.watch.verdict(measured.loss, measured.gradient_norm)
        return measured

    @torch.no_grad()
    def update(self) -> None:
        """Take the optimiser's step."""
        self.optimizer.step()
        # open_clip's bound: a scale over 100 makes training unstable (CLIP, section 2.5).
        self.model.logit_scale.clamp_(0, float(np.log(100)))


def train_step(
    trained: Sequence[Trained], batch: Batch, settings: TrainingSettings, lap: Callable[[str], None] = lambda part: None
) -> list[Measured]:
    """One optimiser step of each model on the same batch of b: of all of them, or of none.

    Args:
        trained: the learner, and its proxy where there is one.
        batch, settings: on what, how.
        lap: books the time since its last call under a model's part.

    Returns:
        Loss and gradient norm of each, and what was bad. One that is bad leaves weights, running statistics and optimiser of all as
        they were, so that the proxy never has seen a batch that the learner has not.
    """
    before = [pair for one in trained for pair in _running_statistics(one.model)]
    found = []
    for one in trained:
        found.append(one.gradients(batch, settings))
        lap(one.part)
    good = all(measured.bad is None for measured in found)
    if not good:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
    for one in trained:
        if good:
            one.update()
        one.optimizer.zero_grad(set_to_none=True)
        lap(one.part)
    return found


def _backward(towers: Towers, batch: Batch, name: LossName) -> Tensor:
    """The whole batch at once, in one graph."""
    image_bd, text_bd = towers.embed(batch)
    scale, bias = towers.scale_and_bias()
    loss = contrastive_loss(name)(image_bd, text_bd, scale, bias)
    loss.backward()
    return loss


def _running_statistics(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Buffers that a forward pass in training mode changes, each with a copy; none in a transformer."""
    layers = (m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
    return [(buffer, buffer.clone()) for layer in layers for buffer in layer.buffers()]
