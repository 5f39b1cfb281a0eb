"""Confidence intervals: known values, limits, and coverage where captions of one image go together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superbatch.evaluation.intervals import clustered_wilson, wilson


def test_wilson_golden_values() -> None:
    """81 of 263 is the example of Newcombe (1998), table I: 0.2553 to 0.3662."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0 / 20, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1 / 29, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_wilson_encloses_the_share(count: int, share: float) -> None:
    low, high = wilson(share, count)
    assert 0 <= low <= share + 1e-12 and share - 1e-12 <= high <= 1
    assert high > low


def test_no_trials_say_nothing() -> None:
    assert wilson(0.0, 0) == (0.0, 1.0)


def test_one_trial_a_group_is_wilson() -> None:
    hits = np.random.default_rng(0).random(200) < 0.3
    assert clustered_wilson(hits, np.arange(200)) == pytest.approx(wilson(hits.mean(), 200))


def test_copies_of_a_trial_add_nothing() -> None:
    hits = np.random.default_rng(0).random(200) < 0.3
    fivefold = clustered_wilson(np.repeat(hits, 5), np.repeat(np.arange(200), 5))
    assert fivefold == pytest.approx(wilson(hits.mean(), 200))


def test_all_or_nothing_counts_groups() -> None:
    assert clustered_wilson(np.ones(500), np.repeat(np.arange(100), 5)) == wilson(1.0, 100)


def test_agrees_with_a_bootstrap_over_groups() -> None:
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 8, 400)
    group = np.repeat(np.arange(400), sizes)
    hits = rng.random(len(group)) < rng.beta(1, 2, 400)[group]
    won = np.bincount(group, weights=hits)
    draws = rng.integers(0, 400, (4000, 400))
    low, high = np.quantile(won[draws].sum(1) / sizes[draws].sum(1), [0.025, 0.975])
    assert clustered_wilson(hits, group) == pytest.approx((low, high), abs=0.006)
