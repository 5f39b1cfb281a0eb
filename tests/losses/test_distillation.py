"""The distillation term: value and gradients against the plain formula in float64, alone and in shares, in tiles that are never large."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from superbatch.losses import distillation_rows, distillation_term, tiles
from tests.losses.test_terms import in_shares, inputs, with_gradients


def teacher_of(count: int, width: int = 5) -> tuple[Tensor, Tensor, float]:
    image, text, *_ = inputs(count + 1_000, dim=width)
    return image[:count], text[:count], 7.0


def plain(image: Tensor, text: Tensor, scale: Tensor, teacher: tuple[Tensor, Tensor, float]) -> Tensor:
    """By whole matrices, as the formula has it."""
    logits, wanted = scale * image @ text.T, teacher[2] * teacher[0] @ teacher[1].T
    halves = (-(p.softmax(1) * q.log_softmax(1)).sum(1).mean() for p, q in ((wanted, logits), (wanted.T, logits.T)))
    return sum(halves, torch.zeros((), dtype=image.dtype)) / 2


def close(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_value_and_gradients_are_those_of_the_formula(count: int) -> None:
    tensors, teacher = inputs(count)[:3], teacher_of(count)
    expected = with_gradients(lambda *given: plain(*given, teacher), tensors)
    close(with_gradients(lambda *given: distillation_term(*given, teacher), tensors), expected)


def test_it_is_smallest_where_the_learner_gives_the_teachers_shares() -> None:
    """There it is the teacher's entropy, and pulls nowhere."""
    image, text, scale = teacher = teacher_of(12)
    loss, *gradients = with_gradients(
        lambda *given: distillation_term(*given, teacher), [image, text, torch.tensor(scale, dtype=torch.float64)]
    )
    shares = (scale * image @ text.T).softmax(1), (scale * text @ image.T).softmax(1)
    entropy = sum(-(share * share.log()).sum(1).mean() for share in shares) / 2
    assert float(loss) == pytest.approx(float(entropy), rel=1e-12)
    assert max(float(gradient.abs().max()) for gradient in gradients) < 1e-14
    assert float(distillation_term(text, image, scale + 3, teacher)) > float(loss)


def test_a_sure_teacher_gives_the_softmax_loss() -> None:
    """One that puts all on a sample's own pair: the target is one-hot."""
    from superbatch.losses import softmax_loss

    image, text, scale, _ = inputs(8)
    own = torch.eye(8, dtype=torch.float64)
    found = distillation_term(image, text, scale, (own, own, 500.0))
    assert float(found) == pytest.approx(float(softmax_loss(image, text, scale)), rel=1e-12)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.sampled_from([1 << 24, 12]))
@settings(max_examples=40)
def test_shares_add_up_to_the_whole(shares: list[int], tile: int) -> None:
    """Summands of value and scale add up, embeddings' gradients are complete; small tiles change nothing."""
    edges = [sum(shares[:index]) for index in range(len(shares) + 1)]
    count, before = edges[-1], tiles.TILE_LOGITS
    tensors, teacher = inputs(count)[:3], teacher_of(count)
    expected = with_gradients(lambda *given: plain(*given, teacher), tensors)

    def work(rank):
        mine = [tensors[0][rank.share], tensors[1][rank.share], tensors[2]]
        taught = (teacher[0][rank.share], teacher[1][rank.share], teacher[2])
        return with_gradients(lambda *given: distillation_term(*given, taught, rank), mine)

    tiles.TILE_LOGITS = tile
    try:
        found = in_shares(edges, work)
    finally:
        tiles.TILE_LOGITS = before
    loss, image, text, scale = zip(*found, strict=True)
    close([sum(loss), torch.cat(image), torch.cat(text), sum(scale)], expected)
    assert [len(one) for one in image] == [last - first for first, last in pairwise(edges)]


def test_half_types_are_widened() -> None:
    image, text, scale, _ = inputs(6, dtype=torch.float32)
    teacher = tuple(side.half() for side in teacher_of(6)[:2])
    found = distillation_term(image.bfloat16(), text.bfloat16(), scale, (*teacher, 7.0))
    assert found.dtype == torch.float32
    wide = plain(
        image.bfloat16().double(),
        text.bfloat16().double(),
        scale.double(),
        (teacher[0].double(), teacher[1].double(), 7.0),
    )
    assert float(found) == pytest.approx(float(wide), rel=1e-5)


def test_rows_have_the_terms_mean_and_are_what_each_sample_adds() -> None:
    image, text, scale, _ = inputs(9)
    teacher = teacher_of(9)
    rows = distillation_rows(image, text, scale, teacher)
    logits, wanted = scale * image @ text.T, teacher[2] * teacher[0] @ teacher[1].T
    both = [-(p.softmax(1) * q.log_softmax(1)).sum(1) for p, q in ((wanted, logits), (wanted.T, logits.T))]
    torch.testing.assert_close(rows, (both[0] + both[1]) / 2, rtol=1e-12, atol=1e-12)
    assert float(rows.mean()) == pytest.approx(float(distillation_term(image, text, scale, teacher)), rel=1e-12)
