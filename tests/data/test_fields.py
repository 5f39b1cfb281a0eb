"""Fields and batches: one numbering over sets, rows in use, and what goes along when samples are taken."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from superbatch.data.fields import Batch, Joined, Mapped, Source, Stored, joined


def stored(values: np.ndarray) -> Stored:
    return Stored(values.__getitem__, len(values))


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_joined_sets_are_one_array(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=(size, 2)).astype(np.float16) for size in sizes]
    whole = np.concatenate(parts)
    field = joined(stored(part) for part in parts)
    rows = rng.integers(0, len(whole), 12)
    found = field.read(rows, 3)
    assert len(field) == len(whole) and found.dtype == np.float16
    assert np.array_equal(found, whole[rows])
    assert isinstance(field, Joined) == (len(sizes) > 1)


def test_a_change_applies_to_what_is_read() -> None:
    field = Mapped(stored(np.arange(5)), lambda values: values * 2)
    assert len(field) == 5 and field.read(np.array([4, 1]), 0).tolist() == [8, 2]


def test_rows_in_use_are_positions_of_the_order() -> None:
    source = Source({"a": stored(np.arange(10) * 10)}, np.array([2, 5, 7]))
    assert source.num_rows == 3 and Source(source.fields).num_rows == 10
    batch = source.read(["a"], np.array([2, 0]), 0)
    assert batch.rows.tolist() == [7, 2] and batch["a"].tolist() == [70, 20]


def test_what_is_taken_of_a_batch_keeps_its_rows_and_fields() -> None:
    batch = Batch(np.array([7, 8, 9]), {"a": torch.tensor([70, 80, 90]), "b": torch.eye(3)})
    taken = batch.take(torch.tensor([2, 0]))
    assert len(taken) == 2 and taken.rows.tolist() == [9, 7] and taken["a"].tolist() == [90, 70]
    assert set(batch.only(["b"]).fields) == {"b"} and batch.only(()).device == torch.device("cpu")
    first, second = batch.pieces([1, 2])
    assert first.rows.tolist() == [7] and second["a"].tolist() == [80, 90]
    assert second["a"].data_ptr() == batch["a"][1:].data_ptr(), "a view"
    both = taken.only(["a"]).beside(taken.only(["b"]))
    assert set(both.fields) == {"a", "b"} and torch.equal(both["b"], torch.eye(3)[[2, 0]])
    with pytest.raises(AssertionError, match="other rows"):
        taken.beside(batch.take(torch.tensor([0, 2])))
