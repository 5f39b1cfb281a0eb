"""Captions that are labels, told by how likely two pairs have the same one."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superbatch.labels import are_labels, chance_of_same


@given(st.lists(st.integers(0, 4), min_size=2, max_size=30))
def test_the_chance_is_that_of_two_pairs_drawn_without_putting_back(captions: list[int]) -> None:
    pairs = [one == other for one, other in combinations(captions, 2)]
    counts = [captions.count(caption) for caption in set(captions)]
    assert chance_of_same(counts) == pytest.approx(sum(pairs) / len(pairs))


def test_names_of_classes_are_labels_and_free_text_is_not() -> None:
    assert are_labels(chance_of_same([1_650] * 10)) and are_labels(chance_of_same([200] * 100))
    assert not are_labels(chance_of_same([400] + [2] * 19_600)), "simweb's commonest caption is one of a hundred"
    assert not are_labels(chance_of_same([])) and not are_labels(chance_of_same([1]))
