"""Fine-tuning: a copy of the image tower, with a linear layer on its embedding, trained on labelled images by cross-entropy.

The learning rate is chosen as the linear probe's strength is: on images that were not trained on; then the tower is trained anew on both. Images are as
they are measured: resized, without augmentation.

Letters in names: N images, C classes, D embedding width.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from superbatch.models.cost import count
from superbatch.models.modes import evaluating
from superbatch.options import FineTuneSettings

CLIP_NORM = 1.0  # the largest norm of a step's gradient


@dataclass(frozen=True)
class Pictures:
    """Labelled images as a tower takes them.

    Attributes:
        read: returns the inputs of some rows, float32 (n, 3, S, S), on the tower's device.
        labels_N: int64 class numbers from 0.
    """

    read: Callable[[np.ndarray], Tensor]
    labels_N: np.ndarray

    def __len__(self) -> int:
        return len(self.labels_N)

    def of(self, rows: np.ndarray) -> Pictures:
        """Return some rows, by number or mask."""
        places = np.arange(len(self))[rows]
        return Pictures(lambda wanted: self.read(places[wanted]), self.labels_N[places])

    def beside(self, other: Pictures) -> Pictures:
        """Return these and others behind them."""
        own = len(self)

        def read(rows: np.ndarray) -> Tensor:
            here = rows < own
            parts = [self.read(rows[here])] if here.any() else []
            parts += [other.read(rows[~here] - own)] if not here.all() else []
            order = np.concatenate([np.flatnonzero(here), np.flatnonzero(~here)])
            return torch.cat(parts)[torch.from_numpy(np.argsort(order))]

        return Pictures(read, np.concatenate([self.labels_N, other.labels_N]))


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned tower on the test images.

    Attributes:
        hits: bool (N,), which test images it is right about.
        learning_rate: the chosen one. accuracies: of each, on the images that chose; empty where there was one alone.
        flops: of all trainings, a backward pass counted as two forward passes.
    """

    hits: np.ndarray
    learning_rate: float
    accuracies: dict[str, float]
    flops: float


class Tower(nn.Module):
    """A copy of an image tower and a linear layer, which starts at zero, on its embedding of length sqrt(D).

    Args:
        tower: left as it is.
        width: D. classes: C.
    """

    def __init__(self, tower: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.tower, self.scale, self.classes = copy.deepcopy(tower), math.sqrt(width), nn.Linear(width, classes)
        nn.init.zeros_(self.classes.weight)
        nn.init.zeros_(self.classes.bias)
        self.requires_grad_(True)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (n, C) of inputs (n, 3, S, S)."""
        found: Tensor = self.classes(self.scale * functional.normalize(self.tower(images), dim=-1))
        return found


@dataclass(frozen=True)
class Tuner:
    """Fine-tunes copies of a tower.

    Attributes:
        tower: on its device; takes inputs (n, 3, S, S), gives embeddings (n, D).
        num_classes: C.
        settings: of the trainings.
        batch: images a forward pass where nothing is trained.
        precision: gives the context of a forward pass (autocast, or nothing).
    """

    tower: nn.Module
    num_classes: int
    settings: FineTuneSettings
    batch: int
    precision: Callable[[], AbstractContextManager[Any]]

    @property
    def device(self) -> torch.device:
        """Where the tower is."""
        return next(self.tower.parameters()).device

    def measured(self, fit: Pictures, choose: Pictures, test: Pictures) -> Tuned:
        """Choose the learning rate on `choose`, if there are several, train on both, and measure on the test images."""
        rates, found = self.settings.learning_rates, dict[float, float]()
        if len(rates) > 1:
            found = {rate: float(self.hits(self.trained(fit, rate), choose).mean()) for rate in rates}
        best = max(rates, key=lambda rate: (found.get(rate, 0.0), -rate))  # of equally good rates the lowest
        both = fit.beside(choose)
        model = self.trained(both, best)
        images_a_step = [min(self.settings.batch_size, len(pictures)) for pictures in (*[fit] * len(found), both)]
        flops = 3.0 * self._forward(test) * self.settings.steps * sum(images_a_step)
        return Tuned(self.hits(model, test), best, {f"{rate:g}": value for rate, value in found.items()}, flops)

    def trained(self, pictures: Pictures, learning_rate: float) -> Tower:
        """Train a copy on some images: AdamW, a linear warm-up and a cosine to zero.

        The batches are a function of the seed, and so is what the tower draws (dropout); the global random state is left as it was.
        """
        own, labels_N = self.settings, torch.from_numpy(pictures.labels_N).to(self.device)
        gpus = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=gpus), torch.enable_grad():
            torch.manual_seed(own.seed)
            model = Tower(self.tower, self._width(pictures), self.num_classes).to(self.device).train()
            optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=own.weight_decay)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, own.share_of_rate)
            for step in range(own.steps):
                rows = batch_rows(len(pictures), own.batch_size, own.seed, step)
                with self.precision():
                    logits = model(pictures.read(rows))
                functional.cross_entropy(logits.float(), labels_N[torch.from_numpy(rows)]).backward()
                nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
        return model.eval()

    def hits(self, model: Tower, pictures: Pictures) -> np.ndarray:
        """Say which images a fine-tuned tower is right about, bool (N,)."""
        found = []
        with torch.no_grad():
            for start in range(0, len(pictures), self.batch):
                rows = np.arange(start, min(start + self.batch, len(pictures)))
                with self.precision():
                    found.append(model(pictures.read(rows)).float().argmax(1).cpu().numpy())
        guessed: np.ndarray = np.concatenate(found) == pictures.labels_N
        return guessed

    def _width(self, pictures: Pictures) -> int:
        with evaluating(self.tower), torch.no_grad():
            return int(self.tower(pictures.read(np.arange(1))).shape[1])

    def _forward(self, pictures: Pictures) -> float:
        """Operations of one image's forward pass through the tower."""
        image = pictures.read(np.arange(1))
        with evaluating(self.tower), torch.no_grad():
            return count(lambda: self.tower(image))


def batch_rows(images: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Return which images a step trains on, int64: each epoch a seeded permutation, cut into batches; of fewer images than a batch all.

    The last images of a permutation that fill no batch are left out until the next one.
    """
    size = min(batch_size, images)
    epoch, place = divmod(step, images // size)
    order = np.random.default_rng([seed, epoch]).permutation(images)
    return order[place * size : (place + 1) * size]
