"""Settings of evaluation: how finished models are measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Interval, MinLen

from superbatch.bounds import Because, Count, Positive, Seed, Settings, require


@dataclass(frozen=True)
class FewShotSettings(Settings, section="few_shot"):
    """Few-shot classification by ridge regression over frozen image embeddings (big_vision's `fewshot_lsr`)."""

    shots: Annotated[tuple[Count, ...], MinLen(1)] = (1, 5, 10)  # labelled images a class
    seeds: Annotated[int, Ge(1), Because("{value} draws are too few")] = 5  # draws of these images
    l2: Positive = 1024.0  # big_vision's 2 ** 10

    def check(self) -> None:
        """Refuse numbers of images that stand there twice."""
        require(
            len(set(self.shots)) == len(self.shots),
            "few_shot.shots",
            f"{list(self.shots)} is not a list of different numbers of images",
            "use such as [1, 5, 10], or few_shot: null",
        )


@dataclass(frozen=True)
class LinearProbeSettings(Settings, section="linear_probe"):
    """A linear classifier over frozen image embeddings, its L2 strength chosen on images that it was not fitted to (CLIP, A.3)."""

    iterations: Annotated[int, Ge(1), Because("{value} iterations are too few")] = 1_000  # at most, of L-BFGS
    # share of each class used to choose the regularization, if there is no split for it
    held_out: Annotated[float, Interval(gt=0, lt=1), Because("{value} is not a share of the images")] = 0.2
    # labeled images at most; of more, a seeded random sample: with more, a fit takes minutes
    max_images: Annotated[int, Ge(2), Because("{value} images are too few")] = 20_000


@dataclass(frozen=True)
class KnnSettings(Settings, section="knn"):
    """Classification by the nearest labelled images, their votes weighted by exp(cosine / temperature) (DINO)."""

    k: Annotated[int, Ge(1), Because("{value} neighbours are too few")] = 20
    temperature: Positive = 0.07


@dataclass(frozen=True)
class FineTuneSettings(Settings, section="fine_tune"):
    """The whole image tower trained on labelled images; of several learning rates the best on images that it was not trained on."""

    steps: Annotated[int, Ge(1), Because("{value} steps are too few")] = 500  # of each training
    batch_size: Count = 64
    # tried in turn; the tower is trained once for each, and once more on all images by the best. One alone is taken as it is
    learning_rates: Annotated[tuple[Positive, ...], MinLen(1)] = (1e-4, 3e-4, 1e-3)
    weight_decay: Annotated[float, Ge(0)] = 1e-4
    warmup: Annotated[float, Interval(ge=0, lt=1), Because("{value} is not a share of the steps")] = 0.1
    # share of each class used to choose the learning rate, if there is no split for it
    held_out: Annotated[float, Interval(gt=0, lt=1), Because("{value} is not a share of the images")] = 0.2
    seed: Seed = 0  # of the batches, and of what the tower draws (dropout)

    def check(self) -> None:
        """Refuse learning rates that stand there twice."""
        require(
            len(set(self.learning_rates)) == len(self.learning_rates),
            "fine_tune.learning_rates",
            f"{list(self.learning_rates)} is not a list of different learning rates",
            "use such as [0.0001, 0.001], or one alone",
        )

    def share_of_rate(self, step: int) -> float:
        """Return a step's learning rate as a share of the highest: linear warm-up, then a cosine to zero."""
        warmup = max(1, round(self.warmup * self.steps))
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, self.steps - warmup)))


@dataclass(frozen=True)
class EvaluateSettings(Settings, section="evaluate"):
    """How finished models are measured: zero-shot always, and what labelled images teach; null leaves one of these out."""

    split: str = "test"
    batch: Count = 256  # images or texts a forward pass
    device: str = "auto"  # auto, cpu, cuda, mps
    few_shot: FewShotSettings | None = field(default_factory=FewShotSettings)
    linear_probe: LinearProbeSettings | None = field(default_factory=LinearProbeSettings)
    knn: KnnSettings | None = field(default_factory=KnnSettings)
    fine_tune: FineTuneSettings | None = (
        None  # the others use frozen embeddings; this one trains the tower, which takes long
    )

    @property
    def learns(self) -> bool:
        """Whether anything learns from labelled images."""
        return any(one is not None for one in (self.few_shot, self.linear_probe, self.knn, self.fine_tune))
