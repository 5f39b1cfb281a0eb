"""Independent selection: each sample is chosen by its own score, regardless of the rest (the paper's baseline)."""

from __future__ import annotations

from torch import Tensor

from superbatch.losses import LossName
from superbatch.selection.criteria import Criterion
from superbatch.selection.embeddings import PairEmbeddings
from superbatch.selection.joint import select_jointly
from superbatch.selection.result import Selection


def select_independently(
    learner: PairEmbeddings | None,
    reference: PairEmbeddings | None,
    num_select: int,
    *,
    gain: float = 100.0,
    criterion: Criterion = "learnability",
    loss: LossName = "sigmoid",
    seed: int = 0,
    step: int = 0,
    rows: Tensor | None = None,
) -> Selection:
    """Draws `num_select` distinct samples by unconditional score: a joint selection that ends with its first chunk.

    Arguments, result and errors as in `select_jointly`; work and memory O(B D).
    """
    return select_jointly(
        learner,
        reference,
        num_select,
        num_chunks=1,
        gain=gain,
        criterion=criterion,
        loss=loss,
        seed=seed,
        step=step,
        rows=rows,
    )
