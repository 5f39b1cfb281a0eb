"""The cost of a run in floating-point operations.

F is the forward pass of one sample (DESIGN: uniform 3F a trained sample). Two accountings: the paper's re-uses the forward of the
chosen samples, F(2 + B/b) (papers.md 1.7); as executed, the scoring pass keeps no graph, so the chosen are run forward again:
F(3 + B/b). Per trained sample, in both. A proxy of F_p that scores and is trained along: 3F + F_p(3 + B/b). Micro-batches are run
forward twice, and activations that are not kept are computed again: as executed that counts, the paper knows of neither. What
`selection.adapt` measures by counts in both. A model that is trained on whole super-batches takes 3 B/b of its own F, and B/b more where it
scores.

`Account.parts` is the one place where samples become operations: the plan, the ledger, `run.json`, and through them the report, the
console and `compare`, take them from here; so do the benchmarks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from superbatch.options import TrainingSettings

TRAIN, SCORE = "train", "score"  # what operations are spent on, by the names that the ledger has for seconds


@dataclass(frozen=True)
class Samples:
    """How many samples something was done with, in a step or in many.

    Attributes:
        trained: were trained on.
        scored: a model scored.
        measured: the learner was run forward on, for `selection.adapt`.
        chosen: of the trained, those that a model had scored for it.
    """

    trained: float = 0
    scored: float = 0
    measured: float = 0
    chosen: float = 0

    @classmethod
    def of_step(cls, trained: float, scored: float, measured: float = 0) -> Samples:
        """Return those of a step: where a model scored, the trained are chosen by it."""
        return cls(trained, scored, measured, trained if scored else 0)


@dataclass(frozen=True)
class Spent:
    """What was spent before a run and is charged to it: operations, and seconds if known."""

    flops: float = 0.0
    seconds: float | None = None

    def less(self, part: Spent) -> Spent:
        """Return what is left without a part of it; its seconds where both are known."""
        known = self.seconds is not None and part.seconds is not None
        return Spent(self.flops - part.flops, self.seconds - part.seconds if known else None)  # type: ignore[operator]


@dataclass(frozen=True)
class Forwards:
    """Operations of one sample's forward passes.

    Attributes:
        trained: by trained model, the learner first: F; where samples are trained in several views, their mean.
        scored: of scoring a sample; 0 where no model scores.
        scorer: the model that scores.
        judged: what of `scored` another model than the scorer takes, such as a reference that is trained along.
        on_all: trained models whose samples are all those scored, not the chosen.
        reused: what of `scored` a chosen sample would not have to pay again, if its graph were kept; 0 where another model or view
            scores than is trained.
        recomputed: by trained model: what is computed again where activations are not kept.
        full: of the learner as it is evaluated, which is a uniform step's F; None where it is trained no other way.
        views: the parts that the learner's F consists of, for the record.
        frozen: of models that are run forward alone for each trained sample, such as a teacher or a target that follows.
        members: the same of each part of the models alone, where they have some, such as two encoders; they add up to the whole.
    """

    trained: Mapping[str, float]
    scored: float = 0.0
    scorer: str = "learner"
    judged: float = 0.0
    on_all: frozenset[str] = frozenset()
    reused: float = 0.0
    recomputed: Mapping[str, float] = field(default_factory=dict)
    full: float | None = None
    views: Mapping[str, float] = field(default_factory=dict)
    members: Mapping[str, Forwards] = field(default_factory=dict)
    frozen: float = 0.0

    @classmethod
    def of_members(cls, members: Mapping[str, Forwards], views: Mapping[str, float]) -> Forwards:
        """Add up the parts that some models consist of."""
        parts = list(members.values())
        return cls(
            trained=_sums(part.trained for part in parts),
            scored=sum(part.scored for part in parts),
            scorer=parts[0].scorer,
            judged=sum(part.judged for part in parts),
            on_all=parts[0].on_all,
            reused=sum(part.reused for part in parts),
            recomputed=_sums(part.recomputed for part in parts),
            full=sum(part.at_full for part in parts),
            views=views,
            members=members,
            frozen=sum(part.frozen for part in parts),
        )

    @property
    def learner(self) -> float:
        """F of the learner."""
        return next(iter(self.trained.values()))

    def frozen_beside(self, model: str) -> float:
        """What is run forward alone for each sample that a model is trained on: beside the learner all of it."""
        return self.frozen if model == next(iter(self.trained)) else 0.0

    @property
    def at_full(self) -> float:
        """F of the learner as it is evaluated."""
        return self.learner if self.full is None else self.full

    def trained_of(self, model: str, samples: Samples) -> float:
        """How many of some samples a model is trained on."""
        return samples.scored if model in self.on_all else samples.trained


def _sums(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Add up numbers by name."""
    found: dict[str, float] = {}
    for part in parts:
        for name, value in part.items():
            found[name] = found.get(name, 0.0) + value
    return found


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

    @property
    def members(self) -> dict[str, Account]:
        """The account of each part of the models alone; none where they have none."""
        return {name: replace(self, forwards=one) for name, one in self.forwards.members.items()}

    def scoring(self, samples: float) -> float:
        """Operations of scoring some samples."""
        return self.forwards.scored * samples

    def measuring(self, samples: float) -> float:
        """Operations of running the learner forward on the samples that `selection.adapt` measures by."""
        return self.forwards.at_full * samples

    def done_again(self, model: str, samples: float) -> float:
        """Operations of training a model on some samples that repeat others: micro-batches, activations that were not kept."""
        forwards = self.forwards
        again = forwards.recomputed.get(model, 0.0) * self.again
        forward = forwards.trained.get(model, 0.0) + forwards.frozen_beside(model)
        return (forward * self.twice + again) * samples

    def training(self, model: str, samples: float, as_executed: bool = True) -> float:
        """Operations of training a model on some samples: forward once, backward twice as much, and what is done again.

        A model that is not trained takes none; what is run forward alone beside the learner counts as the learner's.
        """
        extra = self.done_again(model, samples) if as_executed else 0.0
        once = 3 * self.forwards.trained.get(model, 0.0) + self.forwards.frozen_beside(model)
        return once * samples + extra

    def training_of(self, model: str, samples: Samples, as_executed: bool = True) -> float:
        """Operations of training a model on those of some samples that it is trained on: the chosen, or all that are scored."""
        return self.training(model, self.forwards.trained_of(model, samples), as_executed)

    def parts(self, samples: Samples, as_executed: bool = True) -> dict[str, float]:
        """Operations by what they are spent on, as the ledger splits seconds.

        Args:
            samples: of a step, or of many.
            as_executed: or by the paper's accounting.

        Returns:
            `train`: the learner's training, by the paper without the forward pass of the chosen; `score`: scoring, and what is
            measured for it; other trained models by name.
        """
        learner, *beside = self.forwards.trained
        reused = 0.0 if as_executed or self.stale else self.forwards.reused * samples.chosen
        return {
            TRAIN: self.training_of(learner, samples, as_executed) - reused,
            SCORE: self.scoring(samples.scored) + self.measuring(samples.measured),
            **{model: self.training_of(model, samples, as_executed) for model in beside},
        }

    def total(self, samples: Samples, as_executed: bool = True) -> float:
        """Operations of some samples, all parts together."""
        return sum(self.parts(samples, as_executed).values())

    def step(self, trained: float, scored: float, as_executed: bool = True) -> float:
        """Operations of a step.

        Args:
            trained: b samples.
            scored: B samples, or 0.
            as_executed: or by the paper's accounting.
        """
        return self.total(Samples.of_step(trained, scored), as_executed)

    def over_uniform(self, samples: Samples, as_executed: bool = True) -> float:
        """Operations over those of plain uniform steps that train as many samples, 3F each at full view."""
        return self.total(samples, as_executed) / (3 * self.forwards.at_full * samples.trained)

    def by_member(self, samples: Samples, as_executed: bool = True) -> dict[str, dict[str, float]]:
        """Operations by part of the models and by what they are spent on; under `whole` where they have none."""
        return {name: one.parts(samples, as_executed) for name, one in (self.members or {"whole": self}).items()}

    def saved(self, scored: float, trained: float) -> float:
        """Operations saved by a scorer in the learner's place: the learner's scoring less its own scoring and training.

        Below 0 it cost more.
        """
        scorer = self.forwards
        own = (scorer.scored - scorer.judged) * scored + self.training(scorer.scorer, trained)
        return scorer.learner * scored - own

    def beside(self) -> list[str]:
        """Models that are trained beside the learner."""
        return list(self.forwards.trained)[1:]

    def summary(self, totals: Any, charges: Mapping[str, Spent]) -> dict[str, Any]:
        """Return a run's operations by name, for `run.json`.

        Args:
            totals: `state.Totals`.
            charges: what was spent before the run, by name.
        """
        samples: Samples = totals.samples
        charged = {name: spent.flops for name, spent in charges.items()}
        found: dict[str, Any] = {"forward_per_sample": self.forwards.learner}
        found |= {f"forward_{view}": operations for view, operations in self.forwards.views.items()}
        found |= {
            "as_executed_total": totals.flops_as_executed,
            "paper_total": totals.flops_paper,
            "scoring_total": self.scoring(samples.scored),
            "as_executed": self.by_member(samples),
            "paper": self.by_member(samples, as_executed=False),
            "charged": charged,
            "charged_total": totals.flops_as_executed + sum(charged.values()),
        }
        trained = {model: self.forwards.trained_of(model, samples) for model in self.forwards.trained}
        again = sum(self.done_again(model, count) for model, count in trained.items())
        found |= {"done_again_total": again} if again else {}
        frozen = self.forwards.frozen
        found |= {"forward_frozen": frozen, "frozen_total": frozen * samples.trained} if frozen else {}
        found |= {"measuring_total": self.measuring(samples.measured)} if samples.measured else {}
        for model in self.beside():
            found[f"forward_{model}"] = self.forwards.trained[model]
            found[f"{model}_total"] = self.training_of(model, samples)
        if self.forwards.scorer in self.beside():
            found[f"saved_by_{self.forwards.scorer}"] = self.saved(samples.scored, samples.trained)
        return found
