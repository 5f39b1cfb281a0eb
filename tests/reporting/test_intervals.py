"""Intervals hold what they promise: coverage by simulation, with fixed seeds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from superbatch.evaluation.intervals import packed, wilson
from superbatch.reporting.intervals import difference, mean_interval, over_seeds

TRIALS = 4_000


def test_mean_interval() -> None:
    mean, low, high = mean_interval([0.1, 0.2, 0.3])
    assert mean == pytest.approx(0.2) and high - mean == pytest.approx(4.303 * 0.1 / 3**0.5, abs=1e-4)
    assert mean - low == pytest.approx(high - mean)
    assert mean_interval([0.5])[0] == 0.5 and np.isnan(mean_interval([0.5])[1]) and np.isnan(mean_interval([])[0])


def test_the_mean_s_interval_covers() -> None:
    """Three seeds: 95 %, where the bootstrap has 76."""
    values = np.random.default_rng(0).normal(0.34, 0.01, (TRIALS, 3))
    covered = [low <= 0.34 <= high for _, low, high in map(mean_interval, values)]
    assert 0.94 <= np.mean(covered) <= 0.96


def test_the_paired_difference_s_interval_covers() -> None:
    """Whatever equal seeds share cancels."""
    rng = np.random.default_rng(1)
    shared = rng.normal(0, 0.03, (TRIALS, 3))
    own, other = (mean + shared + rng.normal(0, 0.01, (TRIALS, 3)) for mean in (0.36, 0.34))
    found = [over_seeds(difference) for difference in own - other]
    assert 0.94 <= np.mean([d.low <= 0.02 <= d.high for d in found]) <= 0.96
    assert np.mean([d.high - d.low for d in found]) < 0.08  # unpaired it would be three times as wide


def runs(
    values: dict[int, float], images: int = 500, hits: np.ndarray | None = None, data: str = "same"
) -> pd.DataFrame:
    rows = [
        {
            "seed": seed,
            "value": value,
            "images": images,
            "test_set": data,
            "hits": None if hits is None else packed(hits),
        }
        | dict(zip(("value_low", "value_high"), wilson(value, images), strict=True))
        for seed, value in values.items()
    ]
    return pd.DataFrame(rows)


def test_equal_seeds_are_paired_and_the_others_left_out() -> None:
    found = difference(runs({0: 0.31, 1: 0.42, 5: 0.9}), runs({1: 0.40, 0: 0.30, 7: 0.1}))
    assert found.value == pytest.approx(0.015) and (found.n, found.over) == (2, "seeds")
    assert found.text().endswith("(n = 2 seeds)")


def test_other_seeds_are_compared_unpaired() -> None:
    found = difference(runs({0: 0.3, 1: 0.32}), runs({2: 0.2, 3: 0.22}))
    assert found.value == pytest.approx(0.1) and found.over == "seeds" and found.above


def test_one_seed_is_held_over_the_test_images_and_says_so() -> None:
    found = difference(runs({0: 0.30, 1: 0.32}), runs({0: 0.28}))
    assert found.value == pytest.approx(0.02) and (found.n, found.over) == (1, "images")
    assert not found.above and not found.below
    assert "n = 1 seed, interval over test images only" in found.text()
    bare = runs({0: 0.3})[["seed", "value"]]
    assert "no interval" in difference(bare, bare).text()


def test_the_same_images_are_paired() -> None:
    """Two models that hit nearly the same images are told apart where unpaired shares are not."""
    rng = np.random.default_rng(2)
    one = rng.random(500) < 0.3
    two = one | (rng.random(500) < 0.03)
    pair = runs({0: two.mean()}, hits=two), runs({0: one.mean()}, hits=one)
    assert difference(*pair).above and difference(*pair).value == pytest.approx(two.mean() - one.mean())
    assert not difference(pair[0].drop(columns="hits"), pair[1]).above
    assert not difference(pair[0], runs({0: one.mean()}, hits=one, data="another set")).above


def test_the_difference_over_images_covers() -> None:
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(500):
        one, two = rng.random(400) < 0.30, rng.random(400) < 0.34
        found = difference(runs({0: two.mean()}, 400), runs({0: one.mean()}, 400))
        covered.append(found.low <= 0.04 <= found.high)
    assert 0.93 <= np.mean(covered) <= 0.98
