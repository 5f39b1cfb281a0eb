"""The paired bootstrap: what it resamples, that its intervals cover, and that it agrees with a plain loop."""

from __future__ import annotations

import time

import numpy as np
import pytest

from superbatch.evaluation.intervals import packed
from superbatch.reporting.bootstrap import outcomes, paired_bootstrap
from superbatch.reporting.measured import measured


def interval(gain: np.ndarray, possible: np.ndarray, resamples: int = 2_000) -> tuple[float, float]:
    """The interval of one test set with one question."""
    return paired_bootstrap([(gain[:, None], possible[:, None])], resamples)


def one_set(run: dict) -> tuple[list[float], list[float]]:
    """Outcomes of one test set with one question."""
    ((won, possible),) = outcomes(run)  # type: ignore[misc]
    return won[:, 0].tolist(), possible[:, 0].tolist()


def pair(rng: np.random.Generator, images: int, own: float, other: float) -> np.ndarray:
    """Hits of two models on the same images, some hard for both: their differences, expected own - other."""
    hard = rng.random(images)
    return (hard < own).astype(float) - (np.where(rng.random(images) < 0.7, hard, rng.random(images)) < other)


@pytest.mark.parametrize(("images", "own", "other"), [(400, 0.34, 0.30), (60, 0.5, 0.35), (200, 0.06, 0.03)])
def test_it_covers(images: int, own: float, other: float) -> None:
    rng = np.random.default_rng(0)
    trials = 1_000
    found = [interval(pair(rng, images, own, other), np.ones(images), 1_000) for _ in range(trials)]
    covered = np.mean([low <= own - other + 1e-12 and own - other - 1e-12 <= high for low, high in found])
    assert 0.92 <= covered <= 0.975


def test_it_covers_where_images_have_several_captions() -> None:
    """Captions of one image hit together: resampled one by one, the interval would be too narrow."""
    rng = np.random.default_rng(1)
    covered, alone = [], []
    for _ in range(400):
        texts = rng.integers(1, 6, 150)
        gain = np.where(rng.random(150) < 0.3, rng.choice([1.0, -0.4], 150), 0.0) * texts
        low, high = interval(gain, texts.astype(float), 1_000)
        covered.append(low <= 0.09 <= high)
        flat = np.repeat(gain / texts, texts)
        low, high = interval(flat, np.ones(len(flat)), 1_000)
        alone.append(low <= 0.09 <= high)
    assert 0.92 <= np.mean(covered) <= 0.975 and np.mean(alone) < np.mean(covered) - 0.02


def test_it_is_the_bootstrap_of_a_plain_loop() -> None:
    rng = np.random.default_rng(2)
    gain, possible = rng.choice([-1.0, 0.0, 1.0, 2.0], 200), rng.choice([2.0, 3.0], 200)
    values = []
    for _ in range(4_000):
        rows = rng.integers(200, size=200)
        values.append(gain[rows].sum() / possible[rows].sum())
    assert interval(gain, possible, 4_000) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.012)


def test_the_same_each_time_and_in_any_order() -> None:
    rng = np.random.default_rng(3)
    gain = rng.choice([-1.0, 0.0, 1.0], 500)
    assert interval(gain, np.ones(500)) == interval(rng.permutation(gain), np.ones(500))
    low, high = interval(-gain, np.ones(500))
    assert (-high, -low) == pytest.approx(interval(gain, np.ones(500)), abs=0.01)


def test_no_difference_and_no_images() -> None:
    assert interval(np.zeros(50), np.ones(50)) == (0.0, 0.0)
    assert np.isnan(interval(np.ones(1), np.ones(1))).all()


def test_a_million_images_take_no_longer() -> None:
    gain = np.random.default_rng(4).choice([-1.0, 0.0, 1.0], 1_000_000)
    start = time.process_time()
    low, high = interval(gain, np.ones(len(gain)))
    assert time.process_time() - start < 5 and 0 < high - low < 0.01


def test_outcomes_are_read_as_they_were_written() -> None:
    one, two = np.array([1, 0, 1, 1, 0], bool), np.array([1, 1, 0, 1, 0], bool)
    assert one_set({"hits": packed(one), "images": 5}) == ([1, 0, 1, 1, 0], [1] * 5)
    drawn = {"hits": [packed(one), packed(two)], "images": 5.0, "queries": np.nan}
    assert one_set(drawn) == ([1, 0.5, 0.5, 1, 0], [1] * 5)
    assert one_set({"hits": packed(one), "images": 2, "queries": [3, 2]}) == ([2, 1], [3, 2])
    assert one_set({"hits": packed(np.r_[one, one[:1]]), "images": 3, "queries": 2}) == ([1, 2, 1], [2, 2, 2])
    for unknown in (
        {},
        {"hits": None, "images": 5},
        {"hits": packed(one), "images": None},
        {"hits": np.nan, "images": 5},
    ):
        assert outcomes(unknown) is None


def two_sets(seed: int, better: float) -> dict[str, dict]:
    """Results of a classification and of a retrieval set."""
    rng, moved = np.random.default_rng(seed), np.random.default_rng(0)
    top1, by_image, by_text = moved.random(300) < 0.3, moved.random(80) < 0.2, moved.random(160) < 0.2
    top1, by_image, by_text = (one | (rng.random(len(one)) < better) for one in (top1, by_image, by_text))
    classes = {"num_images": 300, "num_classes": 10, "data": "a", "hits": {"top1": packed(top1)}}
    hits = {"image_to_text_r1": packed(by_image), "text_to_image_r1": packed(by_text)}
    pairs = {"num_images": 80, "texts_an_image": 2, "data": "b", "hits": hits}
    values = {"image_to_text_r1": by_image.mean(), "text_to_image_r1": by_text.mean()}
    return {
        "classes": classes | {"metrics": {"top1": top1.mean()}, "main": top1.mean()},
        "pairs": pairs | {"metrics": values, "main": np.mean(list(values.values()))},
    }


def test_the_headline_is_resampled_set_by_set() -> None:
    """A plain loop over both sets, whose retrieval draws its images once for both ways."""
    runs = [two_sets(1, 0.1), two_sets(2, 0.0)]
    found = [measured("headline", run) for run in runs]
    assert found[0].test_set == "a b" == found[1].test_set
    own, other = (outcomes(vars(one)) for one in found)
    assert own is not None and other is not None and [one[0].shape for one in own] == [(300, 1), (80, 2)]
    gained = [(won - lost, possible) for (won, possible), (lost, _) in zip(own, other, strict=True)]
    rng, values = np.random.default_rng(5), []
    for _ in range(3_000):
        parts = []
        for gain, possible in gained:
            rows = rng.integers(len(gain), size=len(gain))
            parts.append((gain[rows].sum(0) / possible[rows].sum(0)).mean())
        values.append(np.mean(parts))
    low, high = paired_bootstrap(gained)
    assert (low, high) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.006)
    difference = np.mean([runs[0][name]["main"] - runs[1][name]["main"] for name in ("classes", "pairs")])
    assert low < difference < high


def test_a_headline_without_hits_or_sets_is_not_known() -> None:
    run = two_sets(1, 0.1)
    del run["pairs"]["hits"]
    assert measured("headline", run).hits is None and measured("headline", run).chance > 0
    assert np.isnan(measured("headline", {}).chance)
