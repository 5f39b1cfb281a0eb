"""An evaluation shared by ranks: each embeds whole batches, and all find what one process finds, to the bit."""

from __future__ import annotations

import copy
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from superbatch.evaluation import EvaluationSet, Evaluator
from superbatch.evaluation.sharing import Dealt
from superbatch.models import ClipModel
from superbatch.training.distributed import Ranks, joined, ranks_met
from tests.in_ranks import in_ranks

Found = tuple[dict[str, Any], list[int], int]


@given(total=st.integers(1, 300), size=st.integers(1, 40), world=st.integers(1, 9))
def test_batches_do_not_depend_on_who_has_them(total: int, size: int, world: int) -> None:
    for cut in (Dealt.of, Dealt.evenly):
        alone, ranks = cut(total, size), [cut(total, size, Ranks(rank, world)) for rank in range(world)]
        assert list(chain.from_iterable(one.mine for one in ranks)) == list(alone.mine)
        lengths = [sum(batch.stop - batch.start for batch in one.mine) for one in ranks]
        assert all(one.counts == lengths for one in ranks) and sum(lengths) == total
        assert [batch.start for batch in alone.mine[1:]] == [batch.stop for batch in alone.mine[:-1]]


@given(total=st.integers(1, 300), size=st.integers(1, 40))
def test_even_batches_are_numpys(total: int, size: int) -> None:
    """The held-out pairs were cut by it before: their batches, and so their bits, are the same."""
    expected = np.array_split(np.arange(total), max(1, total // size))
    cut = Dealt.evenly(total, size).batches
    assert [(batch.start, batch.stop) for batch in cut] == [(int(part[0]), int(part[-1]) + 1) for part in expected]


def measured(sets: list[EvaluationSet], clip: ClipModel) -> Found:
    """What a rank finds, how many items it embedded at a time, and how many images it keeps."""
    torch.set_num_threads(1)
    model, seen = copy.deepcopy(clip.model), []
    with joined("cpu"):
        model.visual.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
        evaluator = Evaluator.for_model(sets, clip, "cpu", batch_size=7, ranks=ranks_met())
        first = evaluator.evaluate(model, "test")
        assert evaluator.evaluate(model, "test")["metrics"] == first["metrics"]
        details = {
            name: {key: of[key] for key in ("metrics", "confidence", "hits")} for name, of in first["sets"].items()
        }
        return details, seen, sum(len(kept._rows) for kept in evaluator.encoder._pixels.values())


@pytest.mark.parametrize("world", [2, 6])
def test_ranks_find_what_one_process_finds(
    both_sets: list[EvaluationSet], tiny: ClipModel, tmp_path: Path, world: int
) -> None:
    """24 and 10 images in batches of 7 are 4 and 2 batches: of 6 ranks some have none."""
    expected, _, kept = measured(both_sets, tiny)
    everybody = in_ranks(world, measured, tmp_path / "ranks", both_sets, tiny)
    assert all(found == expected for found, _, _ in everybody)
    assert sorted(chain.from_iterable(seen for _, seen, _ in everybody)) == sorted([7, 7, 7, 3, 7, 3] * 2)
    assert sum(images for _, _, images in everybody) == kept == 34
