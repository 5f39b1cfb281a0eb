"""The paired bootstrap: what it resamples, that its intervals cover, and that it agrees with a plain loop."""

from __future__ import annotations

import time

import numpy as np
import pytest

from superbatch.evaluation.intervals import packed
from superbatch.reporting.bootstrap import outcomes, paired_bootstrap


def pair(rng: np.random.Generator, images: int, own: float, other: float) -> np.ndarray:
    """Hits of two models on the same images, some hard for both: their differences, expected own - other."""
    hard = rng.random(images)
    return (hard < own).astype(float) - (np.where(rng.random(images) < 0.7, hard, rng.random(images)) < other)


@pytest.mark.parametrize(("images", "own", "other"), [(400, 0.34, 0.30), (60, 0.5, 0.35), (200, 0.06, 0.03)])
def test_it_covers(images: int, own: float, other: float) -> None:
    rng = np.random.default_rng(0)
    trials = 1_000
    found = [paired_bootstrap(pair(rng, images, own, other), np.ones(images), 1_000) for _ in range(trials)]
    covered = np.mean([low <= own - other + 1e-12 and own - other - 1e-12 <= high for low, high in found])
    assert 0.92 <= covered <= 0.975


def test_it_covers_where_images_have_several_captions() -> None:
    """Captions of one image hit together: resampled one by one, the interval would be too narrow."""
    rng = np.random.default_rng(1)
    covered, alone = [], []
    for _ in range(400):
        texts = rng.integers(1, 6, 150)
        gain = np.where(rng.random(150) < 0.3, rng.choice([1.0, -0.4], 150), 0.0) * texts
        low, high = paired_bootstrap(gain, texts.astype(float), 1_000)
        covered.append(low <= 0.09 <= high)
        flat = np.repeat(gain / texts, texts)
        low, high = paired_bootstrap(flat, np.ones(len(flat)), 1_000)
        alone.append(low <= 0.09 <= high)
    assert 0.92 <= np.mean(covered) <= 0.975 and np.mean(alone) < np.mean(covered) - 0.02


def test_it_is_the_bootstrap_of_a_plain_loop() -> None:
    rng = np.random.default_rng(2)
    gain, possible = rng.choice([-1.0, 0.0, 1.0, 2.0], 200), rng.choice([2.0, 3.0], 200)
    values = []
    for _ in range(4_000):
        rows = rng.integers(200, size=200)
        values.append(gain[rows].sum() / possible[rows].sum())
    assert paired_bootstrap(gain, possible, 4_000) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.012)


def test_the_same_each_time_and_in_any_order() -> None:
    rng = np.random.default_rng(3)
    gain = rng.choice([-1.0, 0.0, 1.0], 500)
    assert paired_bootstrap(gain, np.ones(500)) == paired_bootstrap(rng.permutation(gain), np.ones(500))
    low, high = paired_bootstrap(-gain, np.ones(500))
    assert (-high, -low) == pytest.approx(paired_bootstrap(gain, np.ones(500)), abs=0.01)


def test_no_difference_and_no_images() -> None:
    assert paired_bootstrap(np.zeros(50), np.ones(50)) == (0.0, 0.0)
    assert np.isnan(paired_bootstrap(np.ones(1), np.ones(1))).all()


def test_a_million_images_take_no_longer() -> None:
    gain = np.random.default_rng(4).choice([-1.0, 0.0, 1.0], 1_000_000)
    start = time.process_time()
    low, high = paired_bootstrap(gain, np.ones(len(gain)))
    assert time.process_time() - start < 5 and 0 < high - low < 0.01


def test_outcomes_are_read_as_they_were_written() -> None:
    one, two = np.array([1, 0, 1, 1, 0], bool), np.array([1, 1, 0, 1, 0], bool)
    won, possible = outcomes({"hits": packed(one), "images": 5})  # type: ignore[misc]
    assert won.tolist() == [1, 0, 1, 1, 0] and possible.tolist() == [1] * 5
    won, _ = outcomes({"hits": [packed(one), packed(two)], "images": 5.0, "queries": np.nan})  # type: ignore[misc]
    assert won.tolist() == [1, 0.5, 0.5, 1, 0]
    won, possible = outcomes({"hits": packed(one), "images": 2, "queries": [3, 2]})  # type: ignore[misc]
    assert (won.tolist(), possible.tolist()) == ([2, 1], [3, 2])
    won, possible = outcomes({"hits": packed(np.r_[one, one[:1]]), "images": 3, "queries": 2})  # type: ignore[misc]
    assert (won.tolist(), possible.tolist()) == ([1, 2, 1], [2, 2, 2])
    for unknown in (
        {},
        {"hits": None, "images": 5},
        {"hits": packed(one), "images": None},
        {"hits": np.nan, "images": 5},
    ):
        assert outcomes(unknown) is None
