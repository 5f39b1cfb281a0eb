"""A training as a value: the model, the rows, the rules, and the hash that names it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.data.fields import Source
from superbatch.data.order import Order, candidates_of, growth_of
from superbatch.models import pick_device
from superbatch.options import SelectionSettings, Stretch, TrainingSettings
from superbatch.training.flops import Account, Spent
from superbatch.training.task import Task

STATE_FORMAT = 1  # raised when what a checkpoint means changes: older states are then left alone
# Settings that change how a run is carried out, not what it computes; they stay out of its hash.
# `on_bad_step` too: a run that stops at a bad step is the beginning of the one that skips it. Of the models that are trained along, and of a teacher,
# it is not the file's name that decides but the content: `identity` has it, as it has the learner's.
NOT_IDENTITY = {
    "fresh",
    "resume_from",
    "workers",
    "processes",
    "machines",
    "rendezvous",
    "interface",
    "timeout",
    "checkpoint_activations",
    "checkpoint_every",
    "keep_checkpoints",
    "on_bad_step",
    "proxy",
    "online_reference",
    "teacher",
}
# Settings that came later: at their defaults they are left out, so that older runs keep their hashes.
LATER = {
    "keep_best",
    "spike_factor",
    "spike_window",
    "accumulate",
    "compile",
    "stale_steps",
    "final_filter_ratio",
    "falls_over",
    "first_share",
    "grows_over",
    "first_by",
    "adapt",
    "then",
    "score",
    "patience",
    "tolerance",
    "deterministic",
    "max_scale",
    "clusters",
    "balance",
    "like_curated",
    "curated_by",
    "shard",
}


@dataclass
class Job:
    """One training from start to end.

    Attributes:
        name: the run's name, for people.
        task: what is trained; its models are trained in place.
        source: what it draws from.
        training, selection: the rules.
        super_batch_size: B; b where nothing is selected.
        identity: everything else that decides the outcome (fingerprints of data, model, reference).
        state_root: folder of all runs' states (`data/06_models/.state`).
        evaluate: called with what the task shows, now and then; returns metrics by name. All ranks call it at the same time, so that it
            may share its work out (`evaluation.sharing`); what it returns on rank 0 counts.
        charges: what was spent before the run and an honest account adds, by name (reference training, embedding, decoding).
        names: returns shards and keys of some rows, for messages.
        recipe: makes this job anew in another process; needed to train in several.
        remarks: what else run.json says, by name; it decides nothing and stays out of the hash.
    """

    name: str
    task: Task
    source: Source
    training: TrainingSettings
    selection: SelectionSettings
    super_batch_size: int
    identity: dict[str, Any]
    state_root: Path
    evaluate: Callable[[Any], dict[str, float]] | None = None
    charges: dict[str, Spent] = field(default_factory=dict)
    names: Callable[[np.ndarray], tuple[list[str], list[str]]] | None = None
    recipe: Callable[[], Job] | None = None
    remarks: dict[str, Any] = field(default_factory=dict)

    @property
    def full_identity(self) -> dict[str, Any]:
        """Everything that decides the outcome, by name."""
        return {
            "format": STATE_FORMAT,
            "training": deciding(self.training, _usual(TrainingSettings)) | _resolved(self.training),
            "selection": deciding(self.selection, _usual(SelectionSettings)),
            "B": self.super_batch_size,
            **self._order_format(),
            **self.identity,
        }

    def _order_format(self) -> dict[str, int]:
        """Names an order that was another one before: that of long runs whose rows join, from the fifth epoch on."""
        if self.training.first_share == 1:
            return {}
        order = self.order
        return {"order": 2} if order.leaves_out(order.last_epoch(self.training.steps)) else {}

    @property
    def order(self) -> Order:
        """Which rows of the source each step looks at.

        Raises:
            UserError: B over the rows.
        """
        return order_of(self.training, self.selection, self.source.num_rows, self.super_batch_size)

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """Which steps choose by which rule."""
        return self.selection.stretches(self.training.steps)

    @property
    def scoring(self) -> tuple[range, ...]:
        """The steps in which a model scores super-batches."""
        return tuple(
            steps for steps, rule in self.stretches if rule.method != "uniform" and self.task.reads_by(rule).by_weights
        )

    def account(self) -> Account:
        """Count what a sample costs, and return the account of the run's operations; the task is placed."""
        return Account.of(self.task.forwards(), self.training, self.selection.stale_steps)

    @property
    def run_hash(self) -> str:
        """16 hexadecimal digits that name this training: same hash, same outcome."""
        return fingerprint(self.full_identity)

    @property
    def state_dir(self) -> Path:
        """Where this run's state lives, and no other's."""
        return self.state_root / self.run_hash


def order_of(training: TrainingSettings, selection: SelectionSettings, rows: int, super_batch_size: int) -> Order:
    """Return the order of a run by its settings.

    Args:
        training, selection: the run's. rows: it draws from. super_batch_size: B.

    Raises:
        UserError: B over the rows.
    """
    candidates = candidates_of(selection, training.batch_size, training.steps)
    growth = growth_of(training.first_share, training.grows_over, training.steps)
    return Order(training.seed, rows, super_batch_size, training.shuffle_window, candidates, growth)


def deciding(settings: Any, usual: Any) -> dict[str, Any]:
    """Return the settings of a block that decide the outcome, by name; later ones only where they are not as usual.

    Args:
        settings: the block. usual: the same with its defaults.
    """
    return {
        name: value
        for name, value in vars(settings).items()
        if name not in NOT_IDENTITY and not (name in LATER and value == getattr(usual, name))
    }


@functools.cache  # cached: every use of a run's hash needs it, and creating settings validates them
def _usual(block: type) -> Any:
    return block()


def _resolved(settings: TrainingSettings) -> dict[str, str]:
    """Device and precision that a GPU's run comes to, since both decide its bits; on a CPU they stand as they were set."""
    device = pick_device(settings.device)
    if device.type == "cpu":
        return {}
    usual = "bf16" if device.type == "cuda" else "fp32"
    return {"device": device.type, "precision": usual if settings.precision == "auto" else settings.precision}


@dataclass(frozen=True)
class TrainResult:
    """Where a finished run left its checkpoint and its records, and its summary (`run.json`)."""

    model_dir: Path
    training_dir: Path
    summary: dict[str, Any]
