"""How many pairs are right, by p-values: against a plain float64 form, and where the answer is known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from superbatch.selection import WIDE, few_texts, gathered, lead, p_values, right_pairs, say_few_things, share_of_right
from superbatch.selection.right_pairs import GATHERED, NEAR, SURE, TENTH


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
def test_pairs_with_the_same_caption_are_no_others_where_few_are_told_from_each_other(monkeypatch, tile, labels):
    """By a plain loop over pairs. Captions that a few pairs share count as others' in free text."""
    monkeypatch.setattr(right_pairs, "TILE", tile)
    group = [0] * 40 + [1] * 4 + list(range(2, 158)) if labels else [0] * 8 + list(range(1, 193))
    image, text = unit(200, 8, seed=1), unit(200, 8, seed=2)[group]
    scores, expected = image @ text.T, torch.zeros(2, 200, dtype=torch.float64)
    for i in range(200):
        others = [j for j in range(200) if j != i and not (labels and group[j] == group[i])]
        expected[0, i] = int(sum(scores[i, j] >= scores[i, i] - 1e-9 for j in others)) / len(others)
        expected[1, i] = int(sum(scores[j, i] >= scores[i, i] - 1e-9 for j in others)) / len(others)
    assert torch.equal(p_values(image, text), expected) and few_texts(text) == labels


def test_of_equal_captions_too_who_knows_all_classes_is_ahead_of_who_knows_half_of_them():
    """Captions are ten names: without regard to twins no pair could stand out."""
    names, image = unit(10, 16, seed=1), torch.arange(1_000) % 10
    half = torch.where(image < 5, image, 5 + (image + 1) % 5)
    knows, knows_half = p_values(names[image], names[image]), p_values(names[half], names[image])
    assert float(knows.max()) == 0.0 and share_of_right(knows) == 1.0
    assert lead(knows, knows_half) > 0.4 and lead(knows_half, knows) < 0


def said(
    names: int, kept: float, *, wrong: float = 0.5, n: int = 2_000, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of classes and captions that name them, each in its own way, some of them wrong, as a model sees them that knows `kept` of all images."""
    draw = torch.Generator().manual_seed(seed)
    classes = torch.randint(names, (n,), generator=draw)
    shown = torch.where(torch.rand(n, generator=draw) < kept, classes, torch.randint(names, (n,), generator=draw))
    named = torch.where(torch.rand(n, generator=draw) < wrong, torch.randint(names, (n,), generator=draw), classes)
    centre = unit(names, 32, seed=seed + 1)
    image, text = (centre[of] + 0.1 * unit(n, 32, seed=seed + 2 + k) for k, of in enumerate((shown, named)))
    return normalize(image, dim=-1), normalize(text, dim=-1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kept", [0.7, 0.9])
def test_few_names_are_labels_however_they_are_said_and_many_are_not(kept, seed):
    assert say_few_things(p_values(*said(10, kept, seed=seed))) and say_few_things(
        p_values(*said(10, kept, wrong=0, seed=seed))
    )
    assert not say_few_things(p_values(*said(200, kept, seed=seed)))


def test_free_text_is_no_labels_and_who_knows_nothing_cannot_tell():
    image = unit(1_000, 16, seed=1)
    for skill in (0.3, 1.0, 3.0):  # from a model that hardly knows right pairs to one that knows them all
        text = normalize(skill * image + unit(1_000, 16, seed=2), dim=-1)
        assert not say_few_things(p_values(image, text))
    assert gathered(p_values(image, unit(1_000, 16, seed=2))) is None
    assert gathered(p_values(image, image)) == pytest.approx(1.1), "0.99 of 0.9, since chance is taken off"
    unknowing = [say_few_things(p_values(unit(500, 16, seed=n), unit(500, 16, seed=n + 50))) for n in range(40)]
    assert sum(unknowing) <= 4, "by chance it is one in forty"


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=40))
def test_labels_are_told_by_where_right_pairs_lie(pairs):
    """By plain sums. Wrong pairs lie within each bound as often as chance has it."""
    n, spread = len(pairs), []
    for one in pairs:
        near, tenth = (sum(p <= bound for p in one) / 2 for bound in (NEAR, TENTH))
        spread.append(GATHERED * (tenth - TENTH) - (near - NEAR))
    mean = sum(spread) / n
    error = (sum((value - mean) ** 2 for value in spread) / n / n) ** 0.5
    if abs(mean - SURE * error) > 1e-9:
        assert say_few_things(torch.tensor(pairs, dtype=torch.float64).T) == (mean - SURE * error > 0)


def test_a_model_that_knows_all_classes_is_ahead_of_one_that_knows_half_of_them():
    """Ten names fit a tenth of all images each: within a hundredth no model is ahead."""
    knows, knows_half = (p_values(*said(10, kept)) for kept in (1.0, 0.5))
    assert lead(knows, knows_half, WIDE) > 0.1 and lead(knows_half, knows, WIDE) < 0
    assert abs(lead(knows, knows_half)) < 0.05


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


def test_a_class_of_most_pairs_is_no_wrong_pairs():
    """Nine pairs in ten have the same caption: with it no p-value is below a half, unless they are no others."""
    names = unit(10, 16, seed=1)[torch.tensor([0] * 900 + [1 + n % 9 for n in range(100)])]
    assert share_of_right(p_values(names, names)) == 1.0
