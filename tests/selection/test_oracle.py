"""Ours against the matrices of all pairs on the same noise: same picks, same scores."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from superbatch.selection import PairEmbeddings, select_independently, select_jointly
from tests.selection import oracle

LOSSES = ("sigmoid", "softmax")
CRITERIA = tuple(oracle.SIGNS)


def assert_as_oracle(
    learner: PairEmbeddings, reference: PairEmbeddings, num_select: int, tile: int | None = None, **how: Any
) -> None:
    ours = select_jointly(learner, reference, num_select, tile=tile, **how)
    indices, scores, conditional = oracle.select(learner, reference, num_select, **how)
    assert ours.indices.tolist() == indices.tolist()
    torch.testing.assert_close(ours.scores, scores, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(ours.conditional, conditional, rtol=1e-11, atol=1e-10)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("scale", [1.0, 10.0, 117.0, 1e4])
@pytest.mark.parametrize(
    ("count", "num_select", "num_chunks"), [(40, 8, 4), (37, 11, 3), (53, 53, 7), (9, 1, 16), (31, 30, 30)]
)
def test_same_picks_and_scores(
    loss: str, criterion: str, scale: float, count: int, num_select: int, num_chunks: int
) -> None:
    learner = oracle.make_pairs(count, 12, 1, scale=scale)
    reference = oracle.make_pairs(count, 9, 2, scale=scale / 2, bias=-3.0, noise=0.5)
    how = {"num_chunks": num_chunks, "gain": 5.0, "criterion": criterion, "loss": loss, "seed": 3, "step": 4}
    assert_as_oracle(learner, reference, num_select, tile=7, **how)


def repeated(pairs: PairEmbeddings, distinct: int) -> PairEmbeddings:
    """The same super-batch with only `distinct` different samples in it."""
    again = torch.arange(pairs.count) % distinct
    return PairEmbeddings(pairs.image_ND[again], pairs.text_ND[again], pairs.scale, pairs.bias)


@given(data=st.data())
@settings(max_examples=70, deadline=None)
def test_any_shape(data: st.DataObject) -> None:
    count, dim = data.draw(st.integers(1, 45)), data.draw(st.integers(1, 9))
    num_select, distinct = data.draw(st.integers(1, count)), data.draw(st.integers(1, count))
    scales = st.sampled_from([0.01, 1.0, 30.0, 1e4])
    learner = repeated(oracle.make_pairs(count, dim, 1, scale=data.draw(scales), bias=-5.0), distinct)
    reference = repeated(oracle.make_pairs(count, dim + 2, 2, scale=data.draw(scales), bias=2.0), distinct)
    how = {
        "num_chunks": data.draw(st.integers(1, 50)),
        "gain": data.draw(st.sampled_from([0.0, 1.0, 100.0])),
        "criterion": data.draw(st.sampled_from(CRITERIA)),
        "loss": data.draw(st.sampled_from(LOSSES)),
        "seed": data.draw(st.integers(-(2**63), 2**63)),
        "step": data.draw(st.integers(0, 2**40)),
        "rows": torch.randperm(1000, generator=torch.Generator().manual_seed(count))[:count],
    }
    assert_as_oracle(learner, reference, num_select, tile=data.draw(st.sampled_from([None, 1, 5])), **how)


@pytest.mark.parametrize("loss", LOSSES)
def test_identical_embeddings_are_drawn_evenly_and_completely(loss: str) -> None:
    same = PairEmbeddings(torch.ones(20, 4).double() / 2, torch.ones(20, 4).double() / 2, 10.0, -10.0)
    how = {"num_chunks": 4, "gain": 100.0, "criterion": "hard_learner", "loss": loss, "seed": 0, "step": 0}
    assert_as_oracle(same, same, 13, **how)
    firsts = {int(select_jointly(same, None, 13, **(how | {"step": step})).indices[0]) for step in range(100)}
    assert len(firsts) > 15


@given(data=st.data())
@settings(max_examples=70, deadline=None)
def test_the_contract_holds_in_every_type(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 70))
    num_select, num_chunks = data.draw(st.integers(1, count)), data.draw(st.integers(1, 80))
    dtype = data.draw(st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]))
    loss, scale = data.draw(st.sampled_from(LOSSES)), data.draw(st.sampled_from([1.0, 10.0, 1e4]))
    learner = oracle.make_pairs(count, data.draw(st.integers(1, 20)), 3, scale=scale, dtype=dtype)
    reference = oracle.make_pairs(count, 4, 4, scale=20.0)
    selection = select_jointly(learner, reference, num_select, num_chunks=num_chunks, loss=loss)
    sizes = selection.chunk_sizes
    assert len(sizes) == min(num_chunks, num_select) and sum(sizes) == num_select and max(sizes) - min(sizes) <= 1
    assert selection.indices.dtype == torch.int64 and len(set(selection.indices.tolist())) == num_select
    assert int(selection.indices.min()) >= 0 and int(selection.indices.max()) < count
    assert selection.scores.isfinite().all() and selection.conditional.isfinite().all()
    assert torch.equal(selection.conditional[: sizes[0]], selection.scores[selection.indices[: sizes[0]]])
    assert_scores_near(selection.indices, sizes, selection.conditional, learner, reference, loss, scale)


def assert_scores_near(
    indices: Tensor,
    sizes: tuple[int, ...],
    conditional: Tensor,
    learner: PairEmbeddings,
    reference: PairEmbeddings,
    loss: str,
    scale: float,
) -> None:
    """The conditional scores of the picks made, in float64: whatever the type, only the products' float32 may show."""
    start = 0
    for size in sizes:
        new = indices[start : start + size]
        exact = oracle.score(learner, reference, "learnability", loss, indices[:start])[new]
        torch.testing.assert_close(
            conditional[start : start + size], exact, rtol=3e-6, atol=2e-6 * scale * max(1, start)
        )
        start += size


def test_independent_is_one_unconditional_chunk() -> None:
    learner, reference = oracle.make_pairs(50, 8, 1), oracle.make_pairs(50, 8, 2, scale=30.0)
    how = {"gain": 3.0, "criterion": "learnability", "loss": "softmax", "seed": 1, "step": 2}
    ours = select_independently(learner, reference, 13, **how)
    assert ours.indices.tolist() == oracle.select(learner, reference, 13, num_chunks=1, **how)[0].tolist()
    assert torch.equal(ours.conditional, ours.scores[ours.indices]) and ours.chunk_sizes == (13,)


def test_float32_picks_nearly_all_of_what_float64_picks() -> None:
    learner, reference = oracle.make_pairs(2000, 64, 1), oracle.make_pairs(2000, 64, 2, scale=40.0, noise=0.7)
    narrow = [PairEmbeddings(p.image_ND.float(), p.text_ND.float(), p.scale, p.bias) for p in (learner, reference)]
    exact, rounded = (set(select_jointly(*pair, 400).indices.tolist()) for pair in ((learner, reference), narrow))
    assert len(exact & rounded) / len(exact | rounded) >= 0.99
