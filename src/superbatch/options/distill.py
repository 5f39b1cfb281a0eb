"""Settings of distillation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from superbatch.bounds import Positive, Settings, require


@dataclass(frozen=True)
class DistillSettings(Settings, section="distill"):
    """What a learner takes from a teacher besides its batches: contrastive loss + weight * distillation (ACED; papers.md 2.1), or a
    softmax loss whose negatives the teacher weighs (DRRho-CLIP; papers.md 6).
    """

    how: Literal["distillation", "reweighting"] = "distillation"
    weight: Positive = 1.0  # lambda; the paper does not say its own (docs/experiments.md has a sweep)
    scale: Positive | None = (
        None  # scale of the teacher's logits: the higher, the more certain it is; None: as it was trained
    )
    # which samples it is asked about: those that are trained on, or as many of the pool drawn uniformly (ACED-IIDistill), which cost a second pass
    batch: Literal["chosen", "separate"] = "chosen"
    # another model than the run's reference: the first one, reference_pp, or reference_<name>; None: the reference
    teacher: str | None = None

    def check(self) -> None:
        """Refuse what only an added term can have where the loss is replaced."""
        for name, usual in (("weight", 1.0), ("batch", "chosen")):
            what = "belongs to a term that is added, and reweighting replaces the loss"
            require(self.how == "distillation" or getattr(self, name) == usual, f"distill.{name}", what, "leave it out")
