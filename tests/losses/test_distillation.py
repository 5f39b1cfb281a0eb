"""What a teacher does to a loss, distillation and reweighting: value and gradients against the plain formula in float64, alone and in shares, in tiles that are never large."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from superbatch.losses import teaching_rows, teaching_term, tiles
from tests.losses.test_terms import in_shares, inputs, with_gradients

every_way = pytest.mark.parametrize("how", ["distillation", "reweighting"])


def teacher_of(count: int, width: int = 5) -> tuple[Tensor, Tensor, float]:
    image, text, *_ = inputs(count + 1_000, dim=width)
    return image[:count], text[:count], 7.0


def plain(how: str, image: Tensor, text: Tensor, scale: Tensor, teacher: tuple[Tensor, Tensor, float]) -> Tensor:
    """By whole matrices, as the formulas have it."""
    return rows(how, image, text, scale, teacher).mean()


def rows(how: str, image: Tensor, text: Tensor, scale: Tensor, teacher: tuple[Tensor, Tensor, float]) -> Tensor:
    logits, wanted = scale * image @ text.T, teacher[2] * teacher[0] @ teacher[1].T
    halves = []
    for q, p in ((logits, wanted), (logits.T, wanted.T)):
        if how == "distillation":
            halves.append(-(p.softmax(1) * q.log_softmax(1)).sum(1))
        else:
            own, theirs = q - q.diagonal().unsqueeze(1), p - p.diagonal().unsqueeze(1)
            halves.append((own - theirs).exp().sum(1).log())
    return (halves[0] + halves[1]) / 2


def close(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@every_way
@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_value_and_gradients_are_those_of_the_formula(how: str, count: int) -> None:
    tensors, teacher = inputs(count)[:3], teacher_of(count)
    expected = with_gradients(lambda *given: plain(how, *given, teacher), tensors)
    close(with_gradients(lambda *given: teaching_term(how, *given, teacher), tensors), expected)


def test_it_is_smallest_where_the_learner_gives_the_teachers_shares() -> None:
    """There it is the teacher's entropy, and pulls nowhere."""
    image, text, scale = teacher = teacher_of(12)
    loss, *gradients = with_gradients(
        lambda *given: teaching_term("distillation", *given, teacher),
        [image, text, torch.tensor(scale, dtype=torch.float64)],
    )
    shares = (scale * image @ text.T).softmax(1), (scale * text @ image.T).softmax(1)
    entropy = sum(-(share * share.log()).sum(1).mean() for share in shares) / 2
    assert float(loss) == pytest.approx(float(entropy), rel=1e-12)
    assert max(float(gradient.abs().max()) for gradient in gradients) < 1e-14
    assert float(teaching_term("distillation", text, image, scale + 3, teacher)) > float(loss)


def test_a_sure_teacher_gives_the_softmax_loss() -> None:
    """One that puts all on a sample's own pair: the target is one-hot."""
    from superbatch.losses import softmax_loss

    image, text, scale, _ = inputs(8)
    own = torch.eye(8, dtype=torch.float64)
    found = teaching_term("distillation", image, text, scale, (own, own, 500.0))
    assert float(found) == pytest.approx(float(softmax_loss(image, text, scale)), rel=1e-12)


@every_way
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.sampled_from([1 << 24, 12]))
@settings(max_examples=40)
def test_shares_add_up_to_the_whole(how: str, shares: list[int], tile: int) -> None:
    """Summands of value and scale add up, embeddings' gradients are complete; small tiles change nothing."""
    edges = [sum(shares[:index]) for index in range(len(shares) + 1)]
    count, before = edges[-1], tiles.TILE_LOGITS
    tensors, teacher = inputs(count)[:3], teacher_of(count)
    expected = with_gradients(lambda *given: plain(how, *given, teacher), tensors)

    def work(rank):
        mine = [tensors[0][rank.share], tensors[1][rank.share], tensors[2]]
        taught = (teacher[0][rank.share], teacher[1][rank.share], teacher[2])
        return with_gradients(lambda *given: teaching_term(how, *given, taught, rank), mine)

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
    found = teaching_term("distillation", image.bfloat16(), text.bfloat16(), scale, (*teacher, 7.0))
    assert found.dtype == torch.float32
    wide = plain(
        "distillation",
        image.bfloat16().double(),
        text.bfloat16().double(),
        scale.double(),
        (teacher[0].double(), teacher[1].double(), 7.0),
    )
    assert float(found) == pytest.approx(float(wide), rel=1e-5)


@every_way
def test_rows_have_the_terms_mean_and_are_what_each_sample_adds(how: str) -> None:
    image, text, scale, _ = inputs(9)
    found = teaching_rows(how, image, text, scale, teacher_of(9))
    torch.testing.assert_close(found, rows(how, image, text, scale, teacher_of(9)), rtol=1e-12, atol=1e-12)
    assert float(found.mean()) == pytest.approx(float(teaching_term(how, image, text, scale, teacher_of(9))), rel=1e-12)


def test_a_teacher_that_knows_nothing_leaves_the_softmax_loss_as_it_is() -> None:
    """And one that finds a negative like the positive takes its pull away."""
    from superbatch.losses import softmax_loss

    image, text, scale, _ = inputs(8)
    same = torch.ones(8, 3, dtype=torch.float64)
    found = teaching_term("reweighting", image, text, scale, (same, same, 5.0))
    assert float(found) == pytest.approx(float(softmax_loss(image, text, scale)), rel=1e-12)

    def pull(teacher: tuple[Tensor, Tensor, float]) -> float:
        """By how much text 1 drags image 0."""
        leaf = text.clone().requires_grad_()
        teaching_term("reweighting", image, leaf, scale, teacher).backward()
        return float(leaf.grad[1] @ image[0])

    alike = torch.eye(8, dtype=torch.float64)
    alike[1] = alike[0]  # samples 0 and 1 are one to the teacher
    assert abs(pull((alike, alike, 5.0))) != pytest.approx(abs(pull((torch.eye(8, dtype=torch.float64),) * 2 + (5.0,))))
