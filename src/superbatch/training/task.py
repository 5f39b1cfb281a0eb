"""The interface between a method and the engine: its models, fields, scores and loss. Implementations are in `tasks/`.

The engine draws the super-batch, reads it, chooses by the scores, and takes one step of each trained model on the chosen; it knows
nothing of what lies behind a field's or a model's name.

Shapes: n samples (of a slice, or of one rank's share), N samples of all ranks, D embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from superbatch.data.fields import Batch
from superbatch.errors import UserError
from superbatch.losses import LossName, Peers
from superbatch.options import Rule, TrainingSettings
from superbatch.selection import Criterion
from superbatch.training.flops import Forwards

LEARNER = "learner"  # the first of a task's models, which the run is for


@dataclass(frozen=True)
class Model:
    """A model that changes during a run, so that its state is kept with the run's.

    Attributes:
        module: on whatever device the task's `place` puts it.
        trained: has an optimiser and a loss; else it follows another one, by the task's `after_update`.
        on_all: is trained on all of a super-batch that a model scores, not on what was chosen of it.
        rate: its learning rate over the learner's.
    """

    module: nn.Module
    trained: bool = True
    on_all: bool = False
    rate: float = 1.0


class Holder(Protocol):
    """What has a model's module, and is asked for it whenever the model runs.

    Attributes:
        model: the module.
        run_by: the methods by which it runs, beside a call.
    """

    model: nn.Module

    @property
    def run_by(self) -> tuple[str, ...]:
        """Names of methods."""
        ...


@dataclass(frozen=True)
class Reads:
    """The fields that a task needs of each sample, by name.

    Attributes:
        training: of the b that are trained on.
        scoring: of all B, before b of them are chosen; what training needs of it too is not read again, but where `ahead`.
        ahead: scoring needs no weights: batches are chosen, and then read, any number of steps ahead.
        score: what a sample's score is, in a word, for the line before a run.
        learns: what else than the samples themselves it learns from, in some words for the same line.
    """

    training: tuple[str, ...]
    scoring: tuple[str, ...] = ()
    ahead: bool = False
    score: str = ""
    learns: str = ""

    @property
    def by_weights(self) -> bool:
        """Whether a model scores, so that its present weights decide."""
        return bool(self.scoring) and not self.ahead

    @property
    def later(self) -> tuple[str, ...]:
        """Fields that are read of the chosen alone."""
        return tuple(name for name in self.training if name not in self.scoring)


@dataclass(frozen=True)
class Pairs:
    """One model's embeddings of both sides of n pairs.

    Attributes:
        sides: (n, D) each.
        scale, bias: the model's own.
        name: how errors call the model.
    """

    sides: tuple[Tensor, Tensor]
    scale: float
    bias: float
    name: str


@dataclass(frozen=True)
class PairScores:
    """What joint selection scores by: two models' embeddings of n pairs, and how their losses make a score.

    Attributes:
        learner, reference: None of a model that the criterion does not use.
        criterion: of `selection`, such as learnability.
        loss: by which pairs are scored, sigmoid or softmax.
    """

    learner: Pairs | None
    reference: Pairs | None
    criterion: Criterion
    loss: LossName

    @staticmethod
    def joined(slices: Sequence[PairScores]) -> PairScores:
        """Lay the scores of slices end to end."""
        learner, reference = _joined([s.learner for s in slices]), _joined([s.reference for s in slices])
        return replace(slices[0], learner=learner, reference=reference)


def _joined(slices: Sequence[Pairs | None]) -> Pairs | None:
    if slices[0] is None or len(slices) == 1:
        return slices[0]
    left, right = zip(*(one.sides for one in slices if one is not None), strict=True)
    return replace(slices[0], sides=(torch.cat(left), torch.cat(right)))


@dataclass(frozen=True)
class SampleScores:
    """What independent selection scores by: a number a sample, of any float type; the higher, the likelier it is chosen."""

    values_n: Tensor

    @staticmethod
    def joined(slices: Sequence[SampleScores]) -> SampleScores:
        """Lay the scores of slices end to end."""
        return SampleScores(torch.cat([one.values_n for one in slices]))


Scores = PairScores | SampleScores


class Task(Protocol):
    """What is trained, and on what.

    Attributes:
        models: every model that is not frozen, by name; `learner` first.
        reads: the fields it needs, of each sample.
    """

    models: Mapping[str, Model]
    reads: Reads

    def place(self, device: torch.device, settings: TrainingSettings) -> None:
        """Put all models on the device; asked for once, before anything else."""
        ...

    def scores(self, batch: Batch, rule: Rule) -> Scores:
        """Score a slice of a super-batch by the present weights; models are in evaluation mode, and no graph is kept.

        Args:
            batch: the fields that scoring reads.
            rule: by which this step chooses; along a run the criterion may change (`selection.then`).
        """
        ...

    def outputs(self, model: str, batch: Batch) -> dict[str, Tensor]:
        """Run a model's forward pass, with its graph.

        Args:
            model: name of a trained model.
            batch: the fields that training reads; a micro-batch, where settings ask for them.

        Returns:
            All that the loss needs of the model, by name: tensors (n, ...), of each sample by itself, and scalars, of the model
            itself (such as a temperature). Here the graph is cut. Every parameter takes part.
        """
        ...

    def loss(self, model: str, outputs: Mapping[str, Tensor], batch: Batch, peers: Peers | None) -> Tensor:
        """Return a model's loss as a sum of terms (`losses.terms`).

        Args:
            model: its name.
            outputs: of the whole share of this rank.
            batch: that share.
            peers: who holds the other samples; None where this rank has them all.

        Returns:
            A scalar: this rank's summand of the loss. Its gradients by tensors (n, ...) are those of the whole loss; by scalars,
            this rank's summand of them.
        """
        ...

    def row_losses(self, model: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return each sample's own loss in a whole batch, their mean the batch's, float (N,), and whether its outputs are finite, bool (N,)."""
        ...

    def forwards(self) -> Forwards:
        """Return what a sample's forward passes cost."""
        ...

    def save(self, directory: Path, metadata: dict[str, Any]) -> str:
        """Write the learner's checkpoint into a directory; returns the SHA-256 of its weights."""
        ...

    # The methods below have defaults that fit most tasks that derive from this class.

    def reads_by(self, rule: Rule) -> Reads:
        """Return the fields that it needs where batches are chosen by a rule; those for training are always the same. By default `reads`."""
        return self.reads

    def sides(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the learner's embeddings of both sides of n pairs, (n, D) each and of length 1, by its present weights.

        `selection.adapt` tells by them how many pairs are right. The learner is in evaluation mode, and no graph is kept.

        Args:
            batch: the fields that training reads.

        Raises:
            UserError: by default; a task whose samples are no pairs of two sides has none.
        """
        what = "needs to know how well the two sides of a pair match, and this task does not say"
        raise UserError("selection.adapt", what, "leave it out, or give the task a method `sides`")

    def reference_sides(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the reference's embeddings of both sides of n pairs, (n, D) each and of length 1, as they are cached.

        By them `selection.then.after: null` tells whether the learner has become the better judge.

        Args:
            batch: the fields that scoring reads.

        Raises:
            UserError: by default; a task without a reference has none.
        """
        what = "is decided by a reference's embeddings, and this task has none"
        raise UserError(
            "selection.then.after", what, "set a share of the steps, or give the task a method `reference_sides`"
        )

    def after_update(self, step: int) -> None:
        """Do what follows a step's update of all trained models, such as bounds and moving averages; by default nothing."""
        return

    def holders(self) -> Mapping[str, Holder]:
        """Return who has each model's module, so that a run may cut models over its ranks (`training.shard`).

        The task asks them for a module each time it runs it, and runs it by a call or the methods that they name. Elsewhere it reads no
        parameters but single numbers.

        Raises:
            UserError: by default.
        """
        what = "this task's models can't be sharded"
        raise UserError("training.shard", what, "leave it out, or give the task a method `holders`")

    def facts(self) -> dict[str, float]:
        """Return numbers about the learner for the ledger, by column, such as its temperature; by default none."""
        return {}

    def shown(self) -> AbstractContextManager[Any]:
        """Return the learner for evaluation; by default the module."""
        return nullcontext(self.models[LEARNER].module)
