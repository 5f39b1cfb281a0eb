"""Closed forms of uniform sampling, against counting and against draws."""

from __future__ import annotations

from itertools import product
from math import comb, factorial, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superbatch.curation.clusters import effective_number
from superbatch.data.order import Order
from superbatch.reporting.uniform_draws import expected_distinct, expected_effective, expected_in_batch

SIZES = st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(lambda sizes: sum(sizes) > 1).map(np.array)


@given(SIZES, st.data())
def test_concepts_of_a_batch_by_binomial_coefficients(sizes: np.ndarray, data: st.DataObject) -> None:
    rows = int(sizes.sum())
    batch = data.draw(st.integers(1, rows))
    exact = sum(1 - comb(rows - int(size), batch) / comb(rows, batch) for size in sizes)
    assert expected_in_batch(sizes, batch) == pytest.approx(exact, rel=1e-9)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4).map(np.array), st.integers(1, 6))
def test_effective_number_over_all_outcomes(sizes: np.ndarray, samples: int) -> None:
    share, entropy = sizes / sizes.sum(), 0.0
    for counts in product(range(samples + 1), repeat=len(sizes)):
        if sum(counts) == samples:
            chance = factorial(samples) * prod(p**c / factorial(c) for p, c in zip(share, counts, strict=True))
            entropy += chance * np.log(effective_number(np.array(counts)))
    assert expected_effective(sizes, samples) == pytest.approx(np.exp(entropy), rel=1e-9)


def test_effective_number_of_many_samples_is_the_pools() -> None:
    sizes = np.array([500, 300, 200, 0])
    assert expected_effective(sizes, 10**8) == pytest.approx(effective_number(sizes), rel=1e-6)


def test_distinct_rows_are_those_of_the_order() -> None:
    rows, batch, seeds, ends = 103, 10, 60, (4, 10, 17, 25)  # ten steps an epoch, three rows left out
    drawn = [np.stack([Order(seed, rows, batch).rows(step) for step in range(max(ends))]) for seed in range(seeds)]
    for steps in ends:
        counts = [len(np.unique(one[:steps])) for one in drawn]
        spread = np.std(counts) / np.sqrt(seeds)
        assert abs(np.mean(counts) - expected_distinct(rows, batch, steps)) <= 4 * spread + 1e-9


def test_rows_that_fill_no_batch() -> None:
    """A pool that is trained on with a curated set beside it may be that small; the report ended in a division by zero."""
    assert np.isnan(expected_distinct(12, 16, 3))
