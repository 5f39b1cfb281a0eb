"""Near-duplicates against oracles that look at every pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superbatch.curation import neighbours
from superbatch.curation.neighbours import blocks_against, by_embedding, by_hash


def first_of_groups(near_NN: np.ndarray) -> list[int]:
    """The first row of each row's group, by multiplying until nothing changes."""
    reached = near_NN | np.eye(len(near_NN), dtype=bool)
    while not np.array_equal(further := (reached.astype(int) @ reached.astype(int)) > 0, reached):
        reached = further
    return [int(row.argmax()) for row in reached]


@given(st.lists(st.integers(0, 39), min_size=1, max_size=30), st.integers(0, 5), st.integers(1, 8))
@settings(max_examples=40)
def test_groups_by_hash_are_those_of_all_pairs(picked: list[int], bits: int, tile: int) -> None:
    rng = np.random.default_rng(5)
    marks = rng.integers(0, 1 << 63, 8, dtype=np.uint64).repeat(5)
    for place in range(40):  # five to a family, a few bits from each other
        for bit in rng.integers(0, 64, place % 5):
            marks[place] ^= np.uint64(1) << np.uint64(bit)
    hashes = marks[picked]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "TILE", tile)
        found = by_hash(hashes, bits)
    differ = [[(a ^ b).bit_count() <= bits for b in hashes.tolist()] for a in hashes.tolist()]
    assert list(found) == first_of_groups(np.array(differ))


@pytest.mark.parametrize("near", [0.999, 0.9, 0.6])
def test_groups_by_embedding_are_those_of_all_pairs_within_a_cluster(
    near: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    image_ND = rng.normal(size=(90, 5)).astype(np.float16)
    image_ND[70] = 2 * image_ND[4]
    monkeypatch.setattr(neighbours, "TILE", 13)
    monkeypatch.setattr(neighbours, "ROWS_A_CLUSTER", 30)
    read = image_ND.__getitem__
    cluster = neighbours.row_clusters(read, 90, 3)
    wide = image_ND.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    cosine = np.where(cluster[:, None] == cluster[None, :], wide @ wide.T, -1)
    np.fill_diagonal(cosine, -1)
    first, nearest = by_embedding(read, 90, near)
    assert list(first) == first_of_groups(cosine >= near)
    assert nearest == pytest.approx(cosine.max(1), abs=1e-6)
    assert first[70] == first[4] and len(set(cluster.tolist())) == 3


def test_a_row_alone_has_no_neighbour() -> None:
    first, nearest = by_embedding(np.ones((1, 3)).__getitem__, 1, 0.9)
    assert (list(first), list(nearest)) == ([0], [-1])


@given(st.integers(0, 50), st.integers(0, 1 << 23))
def test_blocks_are_all_rows_in_order(rows: int, others: int) -> None:
    assert [row for block in blocks_against(rows, others) for row in block.tolist()] == list(range(rows))
