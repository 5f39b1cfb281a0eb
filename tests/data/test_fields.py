"""Fields and batches: one numbering over sets, rows in use, and what goes along when samples are taken."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from superbatch.data.fields import Batch, Drawn, Joined, Mapped, Source, Stored, Where, joined


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


@given(seed=st.integers(-5, 2**40), step=st.integers(0, 10**6))
def test_what_is_drawn_is_of_seed_step_and_row_alone(seed: int, step: int) -> None:
    field, rows = Drawn(seed, 1_000, 3), np.array([5, 999, 0, 7])
    found = field.read(rows, step)
    assert found.shape == (4, 3) and (found >= 0).all() and (found < 1).all()
    assert np.array_equal(field.read(rows[::-1], step), found[::-1]), "whatever rows are read beside"
    others = (
        field.read(rows, step + 1),
        Drawn(seed + 1, 1_000, 3).read(rows, step),
        Drawn(seed, 9, 3, 1).read(rows, step),
    )
    assert not any((other == found).any() for other in others)


def test_what_is_drawn_is_even() -> None:
    values = Drawn(0, 20_000, 2).read(np.arange(20_000), 3)
    assert np.allclose(np.histogram(values, 10, (0, 1))[0] / values.size, 0.1, atol=0.01)
    assert abs(np.corrcoef(values.T)[0, 1]) < 0.03 and abs(np.corrcoef(values[1:, 0], values[:-1, 0])[0, 1]) < 0.03


def test_only_what_is_asked_for_is_read() -> None:
    read: list[int] = []

    def noting(rows: np.ndarray) -> np.ndarray:
        read.extend(rows.tolist())
        return rows[:, None] + 10

    field = Where(Stored(noting, 6), stored(np.array([0, 1, 0, 1, 1, 0])))
    assert field.read(np.array([4, 0, 1]), 0).tolist() == [[14], [0], [11]] and read == [4, 1] and len(field) == 6
    assert field.read(np.array([3, 4]), 0).tolist() == [[13], [14]]
    assert field.read(np.array([5, 0]), 0).tolist() == [[0], [0]], "one was read for its shape"
