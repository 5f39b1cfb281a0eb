from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from superbatch.curation.held_out import MOST, held_out_count, held_out_rows

images = st.lists(st.integers(0, 30), max_size=40)  # some of them equal


def digests(numbers: list[int]) -> list[bytes]:
    return [hashlib.sha256(bytes([number])).digest() for number in numbers]


def held(numbers: list[int], count: int) -> set[int]:
    return {numbers[row] for row in held_out_rows(digests(numbers), count)}


@given(images, st.integers(0, 45), st.randoms())
def test_equal_images_fall_on_one_side_whatever_the_order(numbers: list[int], count: int, random) -> None:
    rows = held_out_rows(digests(numbers), count)
    assert list(rows) == sorted(set(rows)) and len(rows) <= count
    out = {numbers[row] for row in rows}
    assert out.isdisjoint(np.delete(numbers, rows))
    shuffled = list(numbers)
    random.shuffle(shuffled)
    assert held(shuffled, count) == out


@given(st.sets(st.integers(0, 255), max_size=60), st.integers(0, 70))
def test_distinct_images_give_just_as_many(numbers: set[int], count: int) -> None:
    assert len(held(list(numbers), count)) == min(count, len(numbers))


@given(images, st.integers(0, 45))
def test_the_number_found_finds_the_same_again(numbers: list[int], count: int) -> None:
    """A run's record has the number that was held out, and the check finds the rows by it."""
    rows = held_out_rows(digests(numbers), count)
    assert np.array_equal(held_out_rows(digests(numbers), len(rows)), rows)


def test_a_set_that_grows_keeps_its_sides_but_at_the_border() -> None:
    before, after = held(list(range(100)), 20), held(list(range(110)), 22)
    assert len(before - after) <= 10


def test_a_share_is_rounded_and_capped() -> None:
    assert [held_out_count(768, share) for share in (0, 0.1, 0.5)] == [0, 77, 384]
    assert held_out_count(10**6, 0.1) == MOST
