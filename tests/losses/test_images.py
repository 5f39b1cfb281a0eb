"""Terms of image-only training: value and gradients against the plain formula in float64, alone and in shares, in tiles that are never large."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from superbatch.losses import key_rows, key_term, regression_rows, regression_term, tiles
from tests.losses.test_terms import in_shares, inputs, with_gradients

SCALE = 10.0


def plain_rows(query: Tensor, key: Tensor) -> Tensor:
    """By the whole matrix, as the formula has it: minus the log of the own key's share."""
    power = torch.exp(SCALE * query @ key.T)
    return -torch.log(power.diagonal() / power.sum(1))


def plain_distances(student: Tensor, teacher: Tensor) -> Tensor:
    units = [side / side.norm(dim=1, keepdim=True) for side in (student, teacher)]
    return (units[0] - units[1]).square().sum(1)


TERMS = {
    "key": (lambda *sides, peers=None: key_term(*sides, SCALE, peers), plain_rows),
    "regression": (lambda *sides, peers=None: regression_term(*sides, peers), plain_distances),
}
every_term = pytest.mark.parametrize("name", list(TERMS))


def sides_of(count: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    query, key, *_ = inputs(count, dtype=dtype)
    return [query * 1.5, key * 0.7]  # neither is taken to be of unit length


def close(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@every_term
@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_value_and_gradients_are_those_of_the_formula(name: str, count: int) -> None:
    term, rows = TERMS[name]
    query, key = sides_of(count)
    expected = with_gradients(lambda query: rows(query, key).mean(), [query])
    value, by_query, by_key = with_gradients(lambda *both: term(*both), [query, key])
    close([value, by_query], expected)
    assert not by_key.any(), "a target gets no gradients"


@every_term
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.sampled_from([1 << 24, 12]))
@settings(max_examples=30)
def test_shares_add_up_to_the_whole(name: str, shares: list[int], tile: int) -> None:
    """Summands of the value add up, gradients of own queries are complete; small tiles change nothing."""
    edges = [sum(shares[:index]) for index in range(len(shares) + 1)]
    (term, rows), before = TERMS[name], tiles.TILE_LOGITS
    query, key = sides_of(edges[-1])
    expected = with_gradients(lambda query: rows(query, key).mean(), [query])
    tiles.TILE_LOGITS = tile
    try:
        found = in_shares(
            edges,
            lambda rank: with_gradients(lambda query: term(query, key[rank.share], peers=rank), [query[rank.share]]),
        )
    finally:
        tiles.TILE_LOGITS = before
    values, gradients = zip(*found, strict=True)
    close([torch.stack(values).sum(), torch.cat(gradients)], expected)


@every_term
def test_rows_have_the_terms_mean(name: str) -> None:
    term, rows = TERMS[name]
    query, key = sides_of(9)
    found = key_rows(query, key, SCALE) if name == "key" else regression_rows(query, key)
    close([found, found.mean()], [rows(query, key), term(query, key)])


def test_no_rows_are_none() -> None:
    nothing = torch.zeros(0, 3)
    assert len(key_rows(nothing, nothing, SCALE)) == 0 and len(regression_rows(nothing, nothing)) == 0


@every_term
def test_half_types_are_widened(name: str) -> None:
    term, rows = TERMS[name]
    query, key = (side.bfloat16() for side in sides_of(6))
    found = term(query, key)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(rows(query.double(), key.double()).mean()), rel=1e-5)


def test_a_key_of_its_own_pulls_and_those_of_others_push() -> None:
    query = torch.eye(3, dtype=torch.float64)
    _, gradient = with_gradients(lambda query: key_term(query, query.detach(), SCALE), [query])
    assert (gradient.diagonal() < 0).all() and (gradient[~torch.eye(3, dtype=torch.bool)] > 0).all()
