"""What a run costs in floating-point operations.

F is the forward pass of one sample (DESIGN: uniform 3F a trained sample). Two accountings: the paper's re-uses the forward of the
chosen samples, F(2 + B/b) (papers.md 1.7); as executed, the scoring pass keeps no graph, so the chosen are run forward again:
F(3 + B/b). Per trained sample, in both. A proxy of F_p that scores and is trained along: 3F + F_p(3 + B/b). Micro-batches are run
forward twice, and activations that are not kept are computed again: as executed that counts, the paper knows of neither. What
`selection.adapt` measures by counts in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from superbatch.options import TrainingSettings


@dataclass(frozen=True)
class Forwards:
    """Operations of one sample's forward passes.

    Attributes:
        trained: by trained model, the learner first: F; where samples are trained in several views, their mean.
        scored: of scoring a sample; 0 where no model scores.
        scorer: the model that scores.
        reused: what of `scored` a chosen sample would not have to pay again, if its graph were kept; 0 where another model or view
            scores than is trained.
        recomputed: by trained model: what is computed again where activations are not kept.
        views: the parts that the learner's F consists of, for the record.
    """

    trained: Mapping[str, float]
    scored: float = 0.0
    scorer: str = "learner"
    reused: float = 0.0
    recomputed: Mapping[str, float] = field(default_factory=dict)
    views: Mapping[str, float] = field(default_factory=dict)

    @property
    def learner(self) -> float:
        """F of the learner."""
        return next(iter(self.trained.values()))


@dataclass(frozen=True)
class Account:
    """Operations of a run's steps.

    Attributes:
        forwards: of a sample.
        twice: micro-batches are run forward a second time, since their loss needs all of them first.
        again: activations are computed again in the backward pass.
        stale: older weights score than are trained, so no forward pass could be re-used.
    """

    forwards: Forwards
    twice: bool = False
    again: bool = False
    stale: bool = False

    @classmethod
    def of(cls, forwards: Forwards, settings: TrainingSettings, stale_steps: int) -> Account:
        """Return the account of a run by its settings."""
        return cls(forwards, settings.accumulate > 1, settings.checkpoint_activations, stale_steps > 0)

    def scoring(self, samples: float) -> float:
        """Operations of scoring some samples."""
        return self.forwards.scored * samples

    def measuring(self, samples: int) -> float:
        """Operations of running the learner forward on the samples that `selection.adapt` measures by."""
        return self.forwards.learner * samples

    def training(self, model: str, samples: int, as_executed: bool = True) -> float:
        """Operations of training a model on some samples: forward once, backward twice as much, and what is done again.

        A model that is not trained takes none.
        """
        forward = self.forwards.trained.get(model, 0.0)
        extra = 0.0
        if as_executed:
            extra = forward * self.twice + self.forwards.recomputed.get(model, 0.0) * self.again
        return (3 * forward + extra) * samples

    def step(self, trained: int, scored: float, as_executed: bool = True) -> float:
        """Operations of a step.

        Args:
            trained: b samples.
            scored: B samples, or 0.
            as_executed: or by the paper's accounting.
        """
        total = sum(self.training(model, trained, as_executed) for model in self.forwards.trained)
        reuse = 0.0 if as_executed or self.stale or not scored else self.forwards.reused * trained
        return total + self.scoring(scored) - reuse

    def saved(self, scored: float, trained: int) -> float:
        """Operations saved by a scorer in the learner's place: the learner's scoring less its own scoring and training.

        Below 0 it cost more.
        """
        own = self.scoring(scored) + self.training(self.forwards.scorer, trained)
        return self.forwards.learner * scored - own

    def beside(self) -> list[str]:
        """Models that are trained beside the learner."""
        return list(self.forwards.trained)[1:]

    def summary(self, totals: Any, charges: Mapping[str, float]) -> dict[str, Any]:
        """Return a run's operations by name, for `run.json`.

        Args:
            totals: `state.Totals`.
            charges: operations spent before the run that an honest account adds.
        """
        found: dict[str, Any] = {"forward_per_sample": self.forwards.learner}
        found |= {f"forward_{view}": operations for view, operations in self.forwards.views.items()}
        found |= {
            "as_executed_total": totals.flops_as_executed,
            "paper_total": totals.flops_paper,
            "scoring_total": self.scoring(totals.samples_scored),
            "charged": dict(charges),
            "charged_total": totals.flops_as_executed + sum(charges.values()),
        }
        if totals.samples_measured:
            found["measuring_total"] = self.measuring(totals.samples_measured)
        for model in self.beside():
            found[f"forward_{model}"] = self.forwards.trained[model]
            found[f"{model}_total"] = self.training(model, totals.samples_trained)
        if self.forwards.scorer in self.beside():
            found[f"saved_by_{self.forwards.scorer}"] = self.saved(totals.samples_scored, totals.samples_trained)
        return found
