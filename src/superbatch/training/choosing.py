"""Score a super-batch, and choose a batch of it by the scores.

Shapes: B super-batch, b sub-batch, n this rank's slice of the super-batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor

from superbatch.data.fields import Batch
from superbatch.errors import UserError
from superbatch.models import evaluating
from superbatch.options import Rule, SelectionSettings, TrainingSettings
from superbatch.selection import (
    PairEmbeddings,
    Selection,
    select_by_scores,
    select_independently,
    select_jointly,
    select_jointly_sharded,
)
from superbatch.training.distributed import ALONE, Ranks
from superbatch.training.task import Pairs, SampleScores, Scores, Task

# On a CPU samples are scored so few at once that their activations stay in the cache; these grow with what is read of a sample. 128 are
# as many as help, fewer than 16 cost more in calls than they save (docs/benchmarks.md, Steps that score over uniform's).
SLICE_BYTES, SLICE = 2_400_000, (16, 128)


def score_slice(settings: TrainingSettings, device: torch.device, batch: Batch) -> int:
    """Return how many samples of a batch go through the scoring pass at once."""
    if settings.score_batch or device.type != "cpu":
        return settings.score_batch or 1_024
    return int(min(SLICE[1], max(SLICE[0], SLICE_BYTES / max(1.0, batch.sample_bytes))))


@torch.no_grad()
def score(task: Task, batch: Batch, rule: Rule, at_once: int, most: int | None = None) -> Scores:
    """Score a super-batch by a rule, without a graph and in evaluation mode, a slice at a time.

    Args:
        task, batch, rule: what is scored, and how.
        at_once: samples of a slice.
        most: samples of the rank that has most, one more than another at most, where all need equally many slices (`training.shard`).
    """
    with ExitStack() as modes:
        for model in task.models.values():
            modes.enter_context(evaluating(model.module))
        found = [task.scores(piece, rule) for piece in _slices(batch, at_once, most)]
    joined: Scores = type(found[0]).joined(found)  # type: ignore[arg-type]
    return joined


def _slices(batch: Batch, at_once: int, most: int | None) -> Iterator[Batch]:
    if most is None:
        return (batch.cut(start, start + at_once) for start in range(0, len(batch), at_once))
    count = min(-(-most // at_once), max(1, most - 1))  # so that no slice is empty if a rank has one sample fewer
    return iter(batch.pieces(map(len, np.array_split(batch.rows, count))))


def choose(
    scores: Scores,
    rows: np.ndarray,
    num_select: int,
    rule: SelectionSettings,
    seed: int,
    step: int,
    ranks: Ranks = ALONE,
) -> Selection:
    """Select `num_select` of a scored super-batch by the rule; the noise is keyed by (seed, step, chunk, row).

    With several ranks `scores` and `rows` are a rank's slice, and all get the same selection of the whole super-batch.

    Raises:
        UserError: joint selection by numbers of single samples.
    """
    key: dict[str, Any] = {"gain": rule.gain, "seed": seed, "step": step, "rows": torch.from_numpy(rows)}
    if isinstance(scores, SampleScores):
        return _choose_samples(scores, num_select, rule, ranks, key)
    pairs = _embeddings(scores.learner), _embeddings(scores.reference)
    key |= {"criterion": scores.criterion, "loss": scores.loss}
    if ranks.world > 1:  # independent selection is joint selection that ends with its first chunk
        chunks = 1 if rule.method == "independent" else rule.num_chunks
        return select_jointly_sharded(*pairs, num_select, num_chunks=chunks, **key)
    if rule.method == "independent":
        return select_independently(*pairs, num_select, **key)
    return select_jointly(*pairs, num_select, num_chunks=rule.num_chunks, **key)


def _choose_samples(
    scores: SampleScores, num_select: int, rule: SelectionSettings, ranks: Ranks, key: dict[str, Any]
) -> Selection:
    if rule.method == "joint":
        what = "the task scores each sample by itself, which says nothing about pairs"
        raise UserError("selection.method: joint", what, "use independent")
    if ranks.world > 1:
        counts = ranks.sizes(len(scores.values_n))
        rows = key["rows"].to(scores.values_n.device)
        key = key | {"rows": ranks.gather_uneven(rows, counts)}
        scores = SampleScores(ranks.gather_uneven(scores.values_n, counts))
    return select_by_scores(scores.values_n, num_select, **key)


def _embeddings(model: Pairs | None) -> PairEmbeddings | None:
    """One model's pairs as selection takes them: on a GPU in the type that its kernel is made for."""
    if model is None:
        return None
    left, right = (_kernel_type(side) for side in model.sides)
    return PairEmbeddings(left, right, model.scale, model.bias, model.name)


def _kernel_type(side: Tensor) -> Tensor:
    # Of unit length, embeddings lose in float16 no more than a cache of them has lost already; bfloat16 keeps three bits less.
    return side.half() if side.is_cuda else side.float()


def agree(ranks: Ranks, selection: Selection, step: int) -> Selection:
    """Return a selection that every rank has made for itself; collective.

    Raises:
        UserError: on all ranks, where one has chosen otherwise.
    """
    digest = hashlib.blake2b(selection.indices.cpu().numpy().tobytes(), digest_size=7).digest()
    if not ranks.same(int.from_bytes(digest, "big")):
        what = f"ranks chose different rows at step {step:,} from the same super-batch"
        raise UserError("embeddings", what, "give every machine the same data/04_feature, or run the embed stage again")
    return selection
