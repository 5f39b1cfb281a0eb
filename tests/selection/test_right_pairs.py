"""How many pairs are right, by p-values: against a plain float64 form, and where the answer is known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from superbatch.selection import have_labels, lead, p_values, right_pairs, share_of_right


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def plainly(image: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    scores, n = image @ text.T, len(image)
    by_image = [sum(scores[i, j] >= scores[i, i] for j in range(n) if j != i) for i in range(n)]
    by_text = [sum(scores[i, j] >= scores[j, j] for i in range(n) if i != j) for j in range(n)]
    return torch.tensor([by_image, by_text], dtype=torch.float64) / (n - 1)


@pytest.mark.parametrize("tile", [3, 7, 1_000])
def test_p_values_are_those_of_the_plain_form_whatever_the_tiles(monkeypatch, tile):
    monkeypatch.setattr(right_pairs, "TILE", tile)
    image, text = unit(20, 5, seed=1), unit(20, 5, seed=2)
    assert torch.equal(p_values(image, text), plainly(image, text))
    assert torch.equal(p_values(image.float(), text.float()), plainly(image, text))


@pytest.mark.parametrize("tile", [7, 1_000])
@pytest.mark.parametrize("labels", [False, True])
def test_pairs_with_the_same_caption_are_no_others_where_captions_are_labels(monkeypatch, tile, labels):
    """By a plain loop over pairs. Captions that a few pairs share count as others' in free text."""
    monkeypatch.setattr(right_pairs, "TILE", tile)
    group = [0] * 40 + [1] * 4 + list(range(2, 158)) if labels else [0] * 8 + list(range(1, 193))
    image, text = unit(200, 8, seed=1), unit(200, 8, seed=2)[group]
    scores, expected = image @ text.T, torch.zeros(2, 200, dtype=torch.float64)
    for i in range(200):
        others = [j for j in range(200) if j != i and not (labels and group[j] == group[i])]
        expected[0, i] = int(sum(scores[i, j] >= scores[i, i] - 1e-9 for j in others)) / len(others)
        expected[1, i] = int(sum(scores[j, i] >= scores[i, i] - 1e-9 for j in others)) / len(others)
    assert torch.equal(p_values(image, text), expected) and have_labels(text) == labels


def test_a_model_that_knows_all_classes_is_ahead_of_one_that_knows_half_of_them():
    """Captions are ten names: without regard to twins no pair could stand out."""
    names, image = unit(10, 16, seed=1), torch.arange(1_000) % 10
    half = torch.where(image < 5, image, 5 + (image + 1) % 5)
    knows, knows_half = p_values(names[image], names[image]), p_values(names[half], names[image])
    assert float(knows.max()) == 0.0 and share_of_right(knows) == 1.0
    assert lead(knows, knows_half) > 0.4 and lead(knows_half, knows) < 0


def test_a_model_that_knows_nothing_finds_no_right_pairs_and_one_that_knows_all_finds_all():
    image, text = unit(2_000, 16, seed=1), unit(2_000, 16, seed=2)
    assert share_of_right(p_values(image, text)) < 0.05  # two standard errors of 2,000 pairs are 4 points
    assert share_of_right(p_values(image, image)) == 1.0


@pytest.mark.parametrize("share", [0.25, 0.6])
def test_of_a_mixture_the_share_is_found(share):
    image, text = unit(3_000, 32, seed=1), unit(3_000, 32, seed=2)
    right = int(share * 3_000)
    text[:right] = image[:right]
    assert share_of_right(p_values(image, text)) == pytest.approx(share, abs=0.05)


def test_embeddings_that_are_all_one_or_not_finite_tell_nothing():
    one = unit(1, 64).float().expand(50, 64)
    assert share_of_right(p_values(one, one)) == 0.0
    trembling = one + 1e-8 * torch.randn(50, 64, generator=torch.Generator().manual_seed(3))
    assert share_of_right(p_values(trembling, one)) == 0.0
    assert share_of_right(p_values(one * float("nan"), one)) == 0.0
    some = unit(50, 64, seed=4)
    broken = some.clone()
    broken[:10] = float("nan")  # their own pairs, and one more that scores no lower with each of the others' captions
    assert share_of_right(p_values(broken, some)) == pytest.approx(0.6)


@given(st.integers(1, 400))
def test_uniform_p_values_are_all_of_wrong_pairs(n):
    p = (torch.arange(2 * n, dtype=torch.float64) + 0.5) / (2 * n)
    assert share_of_right(p) == pytest.approx(0, abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.integers(0, 50))
def test_it_is_a_share_and_rises_with_each_pair_that_looks_right(values, more):
    p = torch.tensor(values, dtype=torch.float64)
    found = share_of_right(p)
    assert 0 <= found <= 1
    assert share_of_right(torch.cat([p, torch.zeros(more, dtype=torch.float64)])) >= found
    assert share_of_right(torch.zeros(3)) == 1.0 and share_of_right(torch.ones(3)) == 0.0
