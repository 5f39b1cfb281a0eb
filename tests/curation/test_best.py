"""The best rows without sorting all scores, against sorting them: whatever the pieces, ties, NaN, quotas and groups are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superbatch.artifacts import scratch
from superbatch.curation import best, dealt
from superbatch.curation.best import arrays, best_of_groups, best_of_values
from superbatch.curation.dealt import first_equal, how_often
from superbatch.curation.groups import by_number, rank_within
from superbatch.curation.keys import ascending, best_first
from superbatch.curation.neighbours import by_hash

SCORES = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1.0 + 2.0**-23, 0.25, 3e-45, -3e-45, np.inf, -np.inf, np.nan])
KINDS = st.sampled_from([np.float32, np.float64])


@st.composite
def scored(draw: Callable[..., Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with many ties, groups (-1 is left aside), and a quota for each of four groups; one may be empty or asked for more than it has."""
    rows = draw(st.integers(0, 40))
    scores = draw(st.lists(SCORES, min_size=rows, max_size=rows))
    groups = draw(st.lists(st.integers(-1, 2), min_size=rows, max_size=rows))
    quotas = draw(st.lists(st.integers(0, 12), min_size=4, max_size=4))
    return np.array(scores, draw(KINDS)), np.array(groups, np.int32), np.array(quotas)


def plain(scores: np.ndarray, group: np.ndarray, quota: np.ndarray) -> np.ndarray:
    """By sorting each group, as it was before."""
    found = np.zeros(len(scores), bool)
    for number, most in enumerate(quota):
        rows = np.flatnonzero(group == number)
        found[rows[np.argsort(-scores[rows], kind="stable")[:most]]] = True
    return found


@given(scored(), st.integers(1, 9), st.sampled_from([8, 64, 1 << 12]))
@settings(max_examples=50)
def test_the_best_of_groups_are_those_of_sorting(
    case: tuple[np.ndarray, np.ndarray, np.ndarray], piece: int, cells: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "PIECE", piece)
        patch.setattr(best, "CELLS", cells)  # few: digits of one bit
        found = [*best_of_groups(arrays(*case[:2]), case[2])]
    assert (np.concatenate([np.empty(0, bool), *found]) == plain(*case)).all()


@given(scored(), st.integers(1, 9), st.integers(1, 3), st.integers(1, 4))
@settings(max_examples=50)
def test_the_best_of_values_are_those_of_sorting(
    case: tuple[np.ndarray, np.ndarray, np.ndarray], piece: int, most: int, part: int
) -> None:
    scores, group, _ = case
    values = np.where(group == 2, np.nan, group - 0.0)  # NaN is a value as any other
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dealt, "PART_ROWS", part)
        cut = [np.arange(start, min(start + piece, len(scores))) for start in range(0, len(scores), piece)]
        found = best_of_values(((rows, values[rows], scores[rows]) for rows in cut), len(scores), most)
    assert (found == (rank_within(scores, values) < most)).all()


@given(
    st.lists(st.integers(0, 6), max_size=40),
    st.integers(1, 9),
    st.integers(1, 4),
    st.sampled_from([np.int32, np.uint64, "S32"]),
)
def test_equal_values_are_found_part_by_part(values: list[int], piece: int, part: int, kind: Any) -> None:
    """Digests too, some of which end in zeros, as a string of bytes must not."""
    given_ = np.array([f"{v:08d}".encode() + bytes(24) for v in values] if kind == "S32" else values, kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "PIECE", piece)
        patch.setattr(dealt, "PIECE", piece)
        patch.setattr(dealt, "PART_ROWS", part)
        assert list(first_equal(given_)) == [values.index(v) for v in values]
        assert list(how_often(given_)) == [values.count(v) for v in values]
        assert list(by_hash(np.array(values, np.uint64), 0)) == [values.index(v) for v in values]


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(1, 9))
def test_rows_by_number(numbers: list[int], piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "PIECE", piece)
        found = [rows.tolist() for rows in by_number(np.array(numbers, np.int32), 5)]
    expected = [[row for row, own in enumerate(numbers) if own == number] for number in range(5)]
    assert found == [rows for rows in expected if rows]


@given(st.lists(SCORES, min_size=1), KINDS)
def test_keys_are_ordered_as_sorting_orders(scores: list[float], kind: type) -> None:
    values = np.array(scores, kind)
    assert list(np.argsort(best_first(values), kind="stable")) == list(np.argsort(-values, kind="stable"))
    assert list(np.argsort(ascending(values), kind="stable")) == list(np.argsort(values, kind="stable"))
    assert len(np.unique(ascending(values))) == len(np.unique(values))


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint64, bool])
def test_whole_numbers_are_ordered_too(kind: type) -> None:
    values = np.array([3, 0, 1, 2, 1], kind)
    values = values if kind in (bool, np.uint64) else -values
    assert list(np.argsort(ascending(values), kind="stable")) == list(np.argsort(values, kind="stable"))


def test_memory_does_not_grow_with_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a million scores on disk, in pieces of 8,192. In memory, sorting them takes 6 MB and finding equal ones 25 MB, both by numpy's own count."""
    import tracemalloc

    rows = 1 << 19
    for room in (scratch, dealt):
        monkeypatch.setattr(room, "PIECE", 1 << 13)
    monkeypatch.setattr(scratch, "IN_MEMORY", 0)
    monkeypatch.setattr(best, "CELLS", 1 << 12)
    monkeypatch.setattr(dealt, "PART_ROWS", 1 << 14)
    scores = scratch.scratch(rows, np.float32)
    for piece in scratch.pieces(rows):
        scores[piece] = np.random.default_rng(piece.start).random(piece.stop - piece.start, np.float32)
    tracemalloc.start()
    kept = sum(int(part.sum()) for part in best_of_groups(arrays(scores), np.array([rows // 3])))
    peak = tracemalloc.get_traced_memory()[1]
    own = first_equal(scores)
    grouped = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kept == rows // 3 and len(own) == rows
    assert peak < 1e6, "a byte a row would be half of that"
    assert grouped < 4e6, "eight bytes a row, which are on disk, would be 4.2 MB"
