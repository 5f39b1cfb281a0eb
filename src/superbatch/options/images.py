"""Settings of trainings on images alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Interval

from superbatch.bounds import Because, Count, Positive, Settings
from superbatch.options.augment import AugmentSettings


@dataclass(frozen=True)
class MoclrSettings(Settings, section="moclr"):
    """Contrastive training of two views of an image against a momentum target (MoCLR; papers.md 4.2)."""

    augment: AugmentSettings = field(default_factory=AugmentSettings)
    temperature: Positive = 0.1
    # share of the target that stays at the first step; it rises to 1 by a cosine (BYOL has 0.996, over far longer runs)
    momentum: Annotated[float, Interval(ge=0, lt=1), Because("{value} is not a share that can rise to 1")] = 0.99
    hidden: Count = 256  # width inside the heads (BYOL: 4,096)
    projection: Count = 64  # width of what is compared (BYOL: 256)
    predictor: bool = (
        True  # the learner has a second head behind its projector, as BYOL and MoCo v3 have; the target never
    )
