"""Layout, tiles, seeds, surroundings: what may and what may not change the picks; and what the work may cost."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from superbatch.selection import PairEmbeddings, Selection, draw, select_independently, select_jointly
from superbatch.selection.candidates import Candidates
from tests.selection import oracle
from tests.selection.kernel_device import needs_cuda

LOSSES = ("sigmoid", "softmax")


def pair(count: int = 61, dim: int = 8, dtype: torch.dtype = torch.float32) -> tuple[PairEmbeddings, PairEmbeddings]:
    learner = oracle.make_pairs(count, dim, 1, dtype=dtype, name="learner")
    return learner, oracle.make_pairs(count, dim, 2, scale=30.0, dtype=dtype, name="reference")


def shuffled(pairs: PairEmbeddings, order: torch.Tensor) -> PairEmbeddings:
    return PairEmbeddings(pairs.image_ND[order], pairs.text_ND[order], pairs.scale, pairs.bias)


def same(one: Selection, other: Selection) -> bool:
    return torch.equal(one.indices, other.indices) and torch.equal(one.conditional, other.conditional)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_layout_changes_nothing_to_the_bit(loss: str, dtype: torch.dtype) -> None:
    learner, reference = pair(dtype=dtype)
    rows = torch.randperm(1000, generator=torch.Generator().manual_seed(1))[:61]
    order = torch.randperm(61, generator=torch.Generator().manual_seed(2))
    one = select_jointly(learner, reference, 20, loss=loss, rows=rows)
    other = select_jointly(shuffled(learner, order), shuffled(reference, order), 20, loss=loss, rows=rows[order])
    assert rows[one.indices].tolist() == rows[order][other.indices].tolist()
    assert torch.equal(one.conditional, other.conditional) and torch.equal(one.scores[order], other.scores)


@pytest.mark.parametrize("loss", LOSSES)
def test_tiles_change_nothing(loss: str) -> None:
    whole = select_jointly(*pair(dtype=torch.float64), 30, loss=loss)
    for tile in (1, 2, 13, 61, 10_000):
        tiled = select_jointly(*pair(dtype=torch.float64), 30, loss=loss, tile=tile)
        assert torch.equal(whole.indices, tiled.indices)
        torch.testing.assert_close(whole.conditional, tiled.conditional, rtol=1e-12, atol=1e-12)


def test_ties_go_to_the_lower_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draw, "gumbel", lambda seed, step, chunks, rows: torch.zeros(len(chunks), len(rows)).double())
    identical = PairEmbeddings(torch.ones(40, 2).double(), torch.ones(40, 2).double(), 1.0, 0.0)
    rows = torch.randperm(40, generator=torch.Generator().manual_seed(3)) * 7
    picked = select_jointly(identical, None, 12, num_chunks=3, criterion="hard_learner", rows=rows)
    assert rows[picked.indices].tolist() == sorted(rows.tolist())[:12]


def test_a_pure_function_of_its_arguments() -> None:
    before = torch.random.get_rng_state()
    first, again = select_jointly(*pair(), 20, seed=1, step=2), select_jointly(*pair(), 20, seed=1, step=2)
    assert same(first, again) and torch.equal(before, torch.random.get_rng_state())
    assert not torch.equal(first.indices, select_jointly(*pair(), 20, seed=1, step=3, gain=0.0).indices)


def test_inputs_are_left_alone_and_no_gradient_is_kept() -> None:
    image, text = (torch.randn(30, 4).requires_grad_() for _ in range(2))
    kept = image.detach().clone(), text.detach().clone()
    scale = torch.tensor(10.0, requires_grad=True)
    picked = select_jointly(PairEmbeddings(image, text, scale.detach(), 0.0), None, 10, criterion="hard_learner")
    assert torch.equal(kept[0], image) and torch.equal(kept[1], text)
    assert not picked.scores.requires_grad and not picked.conditional.requires_grad


def test_autocast_around_it_changes_nothing() -> None:
    plain = select_jointly(*pair(), 20)
    with torch.autocast("cpu", torch.bfloat16):
        assert same(plain, select_jointly(*pair(), 20))


def test_gain_zero_is_uniform_and_a_large_one_greedy() -> None:
    learner, reference = pair(dtype=torch.float64)
    counts = torch.zeros(61)
    for step in range(300):
        counts[select_independently(learner, reference, 10, gain=0.0, step=step).indices] += 1
    assert (counts - 300 * 10 / 61).abs().max() < 5 * (300 * 10 / 61) ** 0.5
    greedy = select_independently(learner, reference, 10, gain=1e12)
    assert greedy.indices.tolist() == greedy.scores.argsort(descending=True)[:10].tolist()


def test_criteria_need_only_their_own_model() -> None:
    learner, reference = pair()
    assert same(
        select_jointly(learner, None, 20, criterion="hard_learner"),
        select_jointly(learner, reference, 20, criterion="hard_learner"),
    )
    assert same(
        select_jointly(None, reference, 20, criterion="easy_reference"),
        select_jointly(learner, reference, 20, criterion="easy_reference"),
    )


def test_models_may_differ_in_size_and_type() -> None:
    learner, _ = pair()
    wide = oracle.make_pairs(61, 24, 2, scale=30.0)
    assert len(select_jointly(learner, wide, 20).indices.unique()) == 20


def test_diagnostics_are_means_of_the_unconditional_scores() -> None:
    picked = select_jointly(*pair(), 20)
    assert picked.mean_score_superbatch == pytest.approx(float(picked.scores.mean()))
    assert picked.mean_score_pick == pytest.approx(float(picked.scores[picked.indices].mean()))
    assert picked.mean_score_pick > picked.mean_score_superbatch


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation returns."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for part in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(part, torch.Tensor):
                self.numel = max(self.numel, part.numel())
        return result


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("num_chunks", [1, 4, 16, 128])
def test_no_matrix_of_all_pairs_and_no_more_work_than_promised(
    loss: str, num_chunks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, chosen, dim, tile = 640, 128, 8, 100
    monkeypatch.setattr(draw, "_NOISE_AT_ONCE", 10 * count)
    largest, flops = Largest(), FlopCounterMode(display=False)
    with flops, largest:
        select_jointly(*pair(count, dim), chosen, num_chunks=num_chunks, loss=loss, tile=tile)
    per_chunk = -(-chosen // num_chunks)
    assert largest.numel <= max(10 * count, 2 * count * dim, 2 * tile * per_chunk)
    products = 2 * 2 * 2 * count * chosen * dim  # two models, two directions, multiply and add
    own = 2 * 2 * count * dim
    assert flops.get_total_flops() <= products * (num_chunks - 1) / num_chunks + own


@pytest.mark.parametrize("tile", [1, 7, 16, 50, 99])
def test_dropping_keeps_every_candidate_once_and_in_its_tile(tile: int) -> None:
    candidates = Candidates(50, tile, torch.device("cpu"))
    left, kept = list(range(50)), torch.arange(50)
    generator = torch.Generator().manual_seed(0)
    for size in (7, 1, 13, 20, 9):
        slots = torch.tensor(left)[torch.randperm(len(left), generator=generator)[:size]]
        moved = candidates.take(slots)
        assert moved is not None
        kept[moved[0]] = kept[moved[1]]
        left = sorted(set(left) - set(slots.tolist()))
        lying = {place: int(kept[place]) for start, stop in candidates.spans() for place in range(start, stop)}
        assert sorted(lying.values()) == left
        assert all(place // tile == slot // tile for place, slot in lying.items())
        assert [lying[int(candidates.place_B[slot])] for slot in left] == left


@needs_cuda
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_cuda_gives_the_scores_of_the_cpu(loss: str, dtype: torch.dtype) -> None:
    here = pair(dtype=dtype)
    there = [PairEmbeddings(p.image_ND.cuda(), p.text_ND.cuda(), p.scale, p.bias) for p in here]
    one, other = select_jointly(*here, 20, loss=loss), select_jointly(*there, 20, loss=loss)
    assert other.indices.is_cuda
    torch.testing.assert_close(one.scores, other.scores.cpu(), rtol=1e-5, atol=1e-4)
    right = oracle.conditional_scores(*here, other.indices.cpu(), other.chunk_sizes, loss=loss)
    torch.testing.assert_close(other.conditional.cpu(), right, rtol=1e-5, atol=1e-4)
    if dtype == torch.float64:
        assert torch.equal(one.indices, other.indices.cpu())
