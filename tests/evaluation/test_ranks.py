"""Exact scores: equal rows tie, order of summation does not matter, what is not finite is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from superbatch.errors import UserError
from superbatch.evaluation.ranks import GRID, exact_unit, ranks_of_labels


@pytest.mark.parametrize("width", [1, 3, 512, 4096])
def test_products_are_exact_whole_numbers(width: int) -> None:
    generator = torch.Generator().manual_seed(width)
    rows = exact_unit(torch.randn(64, width, generator=generator))
    rows[0] = rows[1]
    as_integers = rows.numpy().astype(np.int64).astype(object)  # Python's integers: no rounding anywhere
    truth = (as_integers @ as_integers.T).astype(float)
    np.testing.assert_array_equal((rows @ rows.T).numpy(), truth)
    np.testing.assert_array_equal((rows.flip(1) @ rows.flip(1).T).numpy(), truth)


def test_cosines_agree_with_float64() -> None:
    rows = torch.randn(50, 128, generator=torch.Generator().manual_seed(0))
    unit = torch.nn.functional.normalize(rows.double(), dim=-1)
    exact = exact_unit(rows) @ exact_unit(rows).T / GRID**2
    assert float((exact - unit @ unit.T).abs().max()) < 1e-7


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_embeddings_that_are_not_finite_are_refused(bad: float) -> None:
    rows = torch.ones(4, 3)
    rows[2, 1] = bad
    with pytest.raises(UserError, match="not finite"):
        exact_unit(rows)


def test_zeros_stay_zeros() -> None:
    assert not exact_unit(torch.zeros(2, 5)).any()


def test_ranks_follow_argmax_on_ties() -> None:
    logits = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [2.0, 2.0, 2.0]])
    assert ranks_of_labels(logits, torch.tensor([0, 1, 2, 2])).tolist() == [0, 1, 2, 2]
