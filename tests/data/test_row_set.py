"""Rows as bits, against an array of their numbers."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superbatch.data import row_set
from superbatch.data.row_set import RowSet


@given(st.lists(st.booleans(), max_size=3_000), st.integers(1, 700), st.integers(0, 2**32 - 1))
def test_places_give_the_rows_that_an_array_would(taken: list[bool], piece: int, seed: int) -> None:
    mask = np.array(taken, bool)
    rows, found = np.flatnonzero(mask), RowSet(mask[at : at + piece] for at in range(0, len(mask), piece))
    assert len(found) == len(rows) and list(found) == list(rows) == list(np.asarray(found))
    places = np.random.default_rng(seed).integers(0, max(1, len(rows)), (5, 4)) if len(rows) else np.empty((0, 4), int)
    assert np.array_equal(found[places], rows[places]) and found[places].dtype == np.int64
    gone = rows[:: 1 + seed % 3]
    assert list(found.without(gone)) == list(np.setdiff1d(rows, gone)) and len(found) == len(rows)
    assert list(pickle.loads(pickle.dumps(found))) == list(rows)


@pytest.mark.parametrize("share", [0.0, 1e-4, 0.3, 1.0])
def test_every_place_of_a_larger_set(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_set, "AT_ONCE", 1_000)
    monkeypatch.setattr(row_set, "PIECE_LINES", 3)
    mask = np.random.default_rng(0).random(100_001) < share
    found = RowSet([mask])
    assert np.array_equal(found[np.arange(len(found))], np.flatnonzero(mask))
    assert found.nbytes < len(mask) / 8 * 1.15 + 200


def test_a_place_outside_is_refused() -> None:
    rows = RowSet([np.array([True, False, True])])
    for place in (2, -1):
        with pytest.raises(AssertionError, match="outside"):
            rows[np.array([place])]
