"""A running job: what its steps share and change. `reporting` reads what it leaves on disk."""

from __future__ import annotations

from collections import deque
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from superbatch.data.fields import Batch
from superbatch.data.order import Order
from superbatch.data.windows import Looks, stretches_of
from superbatch.options import Stretch
from superbatch.training.distributed import Ranks
from superbatch.training.flops import Account
from superbatch.training.job import Job
from superbatch.training.optimizer import Kept
from superbatch.training.pending import Pick
from superbatch.training.records import Records
from superbatch.training.state import Totals
from superbatch.training.step import Trained
from superbatch.training.task import LEARNER
from superbatch.training.watch import Clock

if TYPE_CHECKING:
    from superbatch.training.sharding import Shards


@dataclass
class LiveRun:
    """A running job.

    Attributes:
        job: what is trained.
        device: where.
        trained: the task's trained models, the learner first.
        account: of operations; `totals`: used so far; `scored`: samples since the last step was counted.
        records, clock: where steps and their time are noted.
        ranks: who takes part.
        order: of whole super-batches; with `selection.adapt`, as far as B is known.
        pending: picks that wait, in order of steps.
        looks: what was measured so far for B to follow (`adapt`).
        sample: what is measured by, once it is read. by_reference: the reference's p-values of it. few: whether few texts are
            told from each other among it.
        measured: samples run forward for that since the last step was counted.
        shards: the models, where they are cut over the ranks.
    """

    job: Job
    device: torch.device
    trained: list[Trained]
    account: Account
    records: Records
    totals: Totals
    clock: Clock
    ranks: Ranks
    order: Order
    pending: deque[Pick]
    scored: int = 0
    looks: Looks = field(default_factory=Looks)
    sample: Batch | None = None
    by_reference: Tensor | None = None
    few: bool = False
    measured: int = 0
    shards: Shards | None = None

    @property
    def kept(self) -> Kept:
        """What a state keeps of the models."""
        optimizers = {one.name: one.optimizer for one in self.trained}
        return {name: (model.module, optimizers.get(name)) for name, model in self.job.task.models.items()}

    def whole(self, name: str = LEARNER) -> AbstractContextManager[None]:
        """Let a model run without the other ranks, for what a rank does by itself; collective where models are cut over ranks."""
        return nullcontext() if self.shards is None else self.shards.whole(name)

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """Which steps choose by which rule, as far as is known."""
        return stretches_of(self.job.selection, self.job.training.steps, self.looks)

    @property
    def learner(self) -> Trained:
        """The model that the run is for."""
        return self.trained[0]

    def own_positions(self, step: int) -> np.ndarray:
        """Return this rank's slice of a step's super-batch, positions of the order, int64."""
        return self.order.rows(step, self.ranks.rank, self.ranks.world)

    def rows(self, positions: np.ndarray) -> np.ndarray:
        """Turn positions of the order into row numbers of the manifest."""
        return self.job.source.manifest_rows(positions)
