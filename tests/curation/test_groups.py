"""Groups by union-find against a search through the pairs, and places within groups against sorting each alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from superbatch.curation.dealt import first_equal
from superbatch.curation.groups import Groups, kept_count, rank_within

ROWS = 12
PAIRS = st.lists(st.tuples(st.integers(0, ROWS - 1), st.integers(0, ROWS - 1)), max_size=30)


def reached(row: int, pairs: list[tuple[int, int]]) -> set[int]:
    """All rows that pairs lead to from one."""
    found = {row}
    while more := {b for pair in pairs for a, b in (pair, pair[::-1]) if a in found} - found:
        found |= more
    return found


@given(PAIRS, st.integers(0, 30))
def test_groups_are_what_pairs_lead_to_however_they_are_cut(pairs: list[tuple[int, int]], cut: int) -> None:
    groups = Groups(ROWS)
    for part in (pairs[:cut], pairs[cut:]):
        left, right = np.array(part, np.int64).reshape(-1, 2).T
        groups.join(left, right)
    assert list(groups.first()) == [min(reached(row, pairs)) for row in range(ROWS)]


def test_equal_values_go_by_their_first_row() -> None:
    assert list(first_equal(np.array([5, 3, 5, 3, 9]))) == [0, 1, 0, 1, 4]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0, float("nan")])), max_size=20))
def test_places_are_those_of_sorting_each_group_alone(rows: list[tuple[int, float]]) -> None:
    group, score = (np.array([row[i] for row in rows], kind) for i, kind in enumerate((np.int64, np.float64)))
    found = rank_within(score, group)
    for one in set(group.tolist()):
        members = [row for row in range(len(rows)) if group[row] == one]
        best_first = sorted(members, key=lambda row: (np.isnan(score[row]), -np.nan_to_num(score[row]), row))
        assert [int(found[row]) for row in best_first] == list(range(len(members)))


def test_a_share_is_one_row_at_least() -> None:
    assert [kept_count(10, share) for share in (0.01, 0.25, 1.0)] == [1, 2, 10]
