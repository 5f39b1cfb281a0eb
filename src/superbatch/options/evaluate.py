"""Settings of evaluation: how finished models are measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Interval, MinLen

from superbatch.bounds import Because, Count, Positive, Settings, require


@dataclass(frozen=True)
class FewShotSettings(Settings, section="few_shot"):
    """Few-shot classification by ridge regression over frozen image embeddings (big_vision's `fewshot_lsr`)."""

    shots: Annotated[tuple[Count, ...], MinLen(1)] = (1, 5, 10)  # labelled images a class
    seeds: Annotated[int, Ge(1), Because("{value} draws measure nothing")] = 5  # draws of these images
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

    iterations: Annotated[int, Ge(1), Because("{value} iterations fit nothing")] = 1_000  # at most, of L-BFGS
    # share of each class that chooses the strength, where no split does
    held_out: Annotated[float, Interval(gt=0, lt=1), Because("{value} is not a share of the images")] = 0.2
    # labelled images at most, of more a seeded draw: a fit takes minutes from here on
    max_images: Annotated[int, Ge(2), Because("{value} images teach nothing")] = 20_000


@dataclass(frozen=True)
class KnnSettings(Settings, section="knn"):
    """Classification by the nearest labelled images, their votes weighted by exp(cosine / temperature) (DINO)."""

    k: Annotated[int, Ge(1), Because("{value} neighbours have no vote")] = 20
    temperature: Positive = 0.07


@dataclass(frozen=True)
class EvaluateSettings(Settings, section="evaluate"):
    """How finished models are measured: zero-shot always, and what labelled images teach; null leaves one of these out."""

    split: str = "test"
    batch: Count = 256  # images or texts a forward pass
    device: str = "auto"  # auto, cpu, cuda, mps
    few_shot: FewShotSettings | None = field(default_factory=FewShotSettings)
    linear_probe: LinearProbeSettings | None = field(default_factory=LinearProbeSettings)
    knn: KnnSettings | None = field(default_factory=KnnSettings)

    @property
    def learns(self) -> bool:
        """Whether anything learns from labelled images."""
        return any(one is not None for one in (self.few_shot, self.linear_probe, self.knn))
