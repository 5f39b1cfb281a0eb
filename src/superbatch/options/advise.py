"""Settings of the advice on which preset to run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import MinLen

from superbatch.bounds import Count, Positive, Seed, Settings, require


@dataclass(frozen=True)
class BudgetSettings(Settings, section="budget"):
    """The budget of the run that is advised; without either, learner.training.steps."""

    steps: Count | None = None  # of the run, whatever one of them costs
    tflop: Positive | None = None  # with the reference's training and the pool's embedding charged

    def check(self) -> None:
        """Refuse two budgets."""
        both = self.steps is not None and self.tflop is not None
        require(not both, "budget", "has steps and tflop, which may contradict each other", "give one of the two")


@dataclass(frozen=True)
class AdviseSettings(Settings, section="advise"):
    """The budget that the advice is for, and the candidates that it tries out."""

    budget: BudgetSettings = field(default_factory=BudgetSettings)
    candidates: Annotated[tuple[str, ...], MinLen(1)] = ("uniform", "easy_reference", "adaptive_common")
    probe: Count = 600  # steps of each candidate's probe, a complete schedule; no more than the budget has
    seed: Seed = 0

    def check(self) -> None:
        """Refuse a candidate that is named twice."""
        twice = sorted({name for name in self.candidates if self.candidates.count(name) > 1})
        require(not twice, "advise.candidates", f"{', '.join(twice)} is named twice", "name each once")
