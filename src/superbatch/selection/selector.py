"""A selection's settings as one object, for training loops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from superbatch.errors import UserError
from superbatch.losses import LossName
from superbatch.selection.arguments import check_tile, checked_gain, checked_rule, chunk_sizes, whole
from superbatch.selection.criteria import Criterion, check_criterion
from superbatch.selection.embeddings import PairEmbeddings
from superbatch.selection.joint import select_jointly
from superbatch.selection.result import Selection
from superbatch.selection.sharded import select_jointly_sharded


@dataclass(frozen=True, kw_only=True)
class JointSelector:
    """Select a batch at each step with the same settings, checked when made; it has no state.

    Attributes:
        num_select: b; the others up to tile as in `select_jointly`.
        group: ranks among which each super-batch is spread, such as `torch.distributed.group.WORLD`; None: one process.
        communication: the type in which ranks send embeddings (default: as they are).

    Raises:
        UserError: which setting is wrong.
    """

    num_select: int
    num_chunks: int = 16
    gain: float = 100.0
    criterion: Criterion = "learnability"
    loss: LossName = "sigmoid"
    seed: int = 0
    tile: int | None = None
    compare_independent: bool = False
    group: dist.ProcessGroup | None = None
    communication: torch.dtype | None = None

    def __post_init__(self) -> None:
        chunk_sizes(max(1, whole("num_select", self.num_select)), self.num_select, self.num_chunks)
        checked_gain(self.gain)
        check_criterion(self.criterion)
        checked_rule(self.loss)
        whole("seed", self.seed)
        if self.tile is not None:
            check_tile(self.tile)
        if self.communication is not None and self.group is None:
            remedy = "name the group of ranks too, or leave it out"
            raise UserError(
                "communication", f"is {self.communication}, but there are no other ranks to send to", remedy
            )

    def __call__(
        self,
        learner: PairEmbeddings | None,
        reference: PairEmbeddings | None,
        *,
        step: int,
        rows: Tensor | None = None,
    ) -> Selection:
        """Selects of one super-batch, or of this rank's slice of it where there is a group.

        Args:
            learner: its embeddings of the super-batch (or slice).
            reference: likewise.
            step: of the training; fresh noise each step.
            rows: int64, row numbers of the samples.

        Raises:
            UserError: as `select_jointly` and `select_jointly_sharded`.
        """
        how: dict[str, Any] = {
            "num_chunks": self.num_chunks,
            "gain": self.gain,
            "criterion": self.criterion,
            "loss": self.loss,
            "seed": self.seed,
            "tile": self.tile,
            "compare_independent": self.compare_independent,
            "step": step,
            "rows": rows,
        }
        if self.group is None:
            return select_jointly(learner, reference, self.num_select, **how)
        how |= {"group": self.group, "communication": self.communication}
        return select_jointly_sharded(learner, reference, self.num_select, **how)
