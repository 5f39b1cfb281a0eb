from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superbatch.evaluation.pairs.auc import Scored, auc, auc_estimate
from superbatch.evaluation.pairs.measure import pool_above
from superbatch.evaluation.pairs.resampling import drawn_anew, estimate, mean_estimate


def oracle(scored: Scored, count: np.ndarray) -> float:
    """The definition: all true against all exchanged ones, each as often as its pair counts."""
    won = pairs = 0.0
    for a, true, first in zip(scored.score, scored.true, scored.pair, strict=True):
        for b, other, second in zip(scored.score, scored.true, scored.pair, strict=True):
            if true and not other:
                weight = float(count[first] * count[second])
                won, pairs = won + weight * ((a > b) + (a == b) / 2), pairs + weight
    return won / pairs if pairs else np.nan


@settings(max_examples=60)
@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_auc_is_its_definition_for_every_resample(pairs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    score = rng.integers(0, 6, 2 * pairs).astype(float)  # with ties
    kept = rng.random(2 * pairs) < 0.8
    scored = Scored(score[kept], (np.arange(2 * pairs) < pairs)[kept], np.tile(np.arange(pairs), 2)[kept])
    counts = drawn_anew(pairs, seed, resamples=3)
    assert auc(scored, counts) == pytest.approx([oracle(scored, count) for count in counts], abs=1e-12, nan_ok=True)


def normal(pairs: int, apart: float, rng: np.random.Generator) -> Scored:
    score = np.concatenate([rng.normal(apart, 1, pairs), rng.normal(0, 1, pairs)])
    return Scored(score, np.arange(2 * pairs) < pairs, np.tile(np.arange(pairs), 2))


def test_the_interval_covers_the_true_value() -> None:
    """Two normal distributions one standard deviation apart: AUC = Phi(1 / sqrt 2) = 0.7602."""
    rng = np.random.default_rng(0)
    found = [auc_estimate([normal(80, 1.0, rng)], 80, seed) for seed in range(100)]
    assert 88 <= sum(one.low <= 0.7602 <= one.high for one in found) <= 100
    assert np.mean([one.value for one in found]) == pytest.approx(0.7602, abs=0.01)
    assert np.mean([one.high - one.low for one in found]) < 0.2


def test_trials_are_compared_each_in_itself() -> None:
    """A shift between trials, as between batches of other samples, says nothing about pairs."""
    rng = np.random.default_rng(1)
    trial = normal(50, 2.0, rng)
    shifted = Scored(trial.score + 100, trial.true, trial.pair)
    assert auc_estimate([trial, shifted], 50, 0) == auc_estimate([trial], 50, 0)


def test_some_pairs_alone() -> None:
    trial = normal(30, 1.0, np.random.default_rng(2))
    some = np.arange(30) < 10
    part = trial.of(some)
    assert len(part.score) == 20 and part.pair.max() == 9
    assert auc_estimate([part], 30, 0).pairs == 10
    assert np.isnan(auc_estimate([trial.of(np.zeros(30, bool))], 30, 0).value)


def test_estimates_leave_out_what_could_not_be_computed_and_are_null_where_nothing_could() -> None:
    assert estimate(0.5, np.array([np.nan, *np.linspace(0, 1, 101)]), 7).low == pytest.approx(0.025)
    nothing = estimate(np.nan, np.array([np.nan]), 0).as_json()
    assert nothing == {"value": None, "low": None, "high": None, "pairs": 0}


def test_the_interval_of_a_mean_is_about_two_standard_errors_wide() -> None:
    values = np.random.default_rng(3).normal(size=400)
    found = mean_estimate(values, 0)
    assert found.value == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)


def test_pool_above_is_the_share_of_comparisons() -> None:
    rng = np.random.default_rng(0)
    pool, held = rng.integers(0, 9, 70).astype(float), rng.integers(2, 12, 40).astype(float)
    found, over = pool_above(pool, held), pool[:, None] - held
    assert found.value == pytest.approx(((over > 0) + (over == 0) / 2).mean(), abs=1e-12)
    assert found.low < found.value < found.high and found.pairs == 110
