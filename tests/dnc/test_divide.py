"""Dividing: planted clusters, the number of them, clusters that are too small; and the experts' steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from superbatch.dnc.divide import check_numbers, divide, large_enough, silhouette
from superbatch.dnc.schedule import expert_steps
from superbatch.errors import UserError


def planted(sizes: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Representations around orthogonal directions, shuffled: float16 (N, 8), and the direction of each."""
    rng = np.random.default_rng(seed)
    concept = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return (np.eye(8)[concept] + 0.05 * rng.normal(size=(len(concept), 8))).astype(np.float16), concept


def test_planted_clusters_are_found_the_largest_first() -> None:
    found, concept = planted([60, 200, 90])
    division = divide(found.__getitem__, len(found), (3,), 10)
    assert adjusted_rand_score(concept, division.cluster_N) == 1 and division.cluster_N.dtype == np.int32
    assert division.sizes == [200, 90, 60] and division.asked == 3 and not division.joined and not division.silhouettes


def test_of_several_numbers_that_which_stands_apart_most_clearly_is_taken() -> None:
    found, concept = planted([100, 80, 90, 70])
    division = divide(found.__getitem__, len(found), (2, 8, 4), 1)
    assert division.asked == 4 and adjusted_rand_score(concept, division.cluster_N) == 1
    assert division.silhouettes[4] == max(division.silhouettes.values()) > 0.7 and set(division.silhouettes) == {
        2,
        8,
        4,
    }
    assert silhouette(found.__getitem__, np.zeros(len(found), np.int32)) == -1


def test_small_clusters_join_the_nearest_one() -> None:
    found = np.array([[1, 0], [1, 0.1], [1, 0.05], [0, 1], [0.1, 1], [0, 1], [0.8, 0.2]], np.float16)
    cluster_N, joined = large_enough(found.__getitem__, np.array([0, 0, 0, 2, 2, 2, 3], np.int32), 2)
    assert cluster_N.tolist() == [0, 0, 0, 1, 1, 1, 0] and joined == 1, "number 1 was empty, number 3 alone"
    cluster_N, joined = large_enough(found.__getitem__, np.array([0, 0, 0, 2, 2, 2, 3], np.int32), 7)
    assert not cluster_N.any() and joined == 2


@given(st.lists(st.integers(1, 12), min_size=2, max_size=6), st.integers(1, 12))
def test_each_cluster_has_enough_rows_or_is_the_only_one(sizes: list[int], least: int) -> None:
    found, concept = planted(sizes, seed=sum(sizes))
    cluster_N, joined = large_enough(found.__getitem__, concept.astype(np.int32), least)
    left = np.bincount(cluster_N)
    assert left.sum() == sum(sizes) and (len(left) == 1 or left.min() >= least) and len(left) + joined == len(sizes)
    assert list(left) == sorted(left, reverse=True), "the largest first"
    for number in range(len(sizes)):
        assert len(set(cluster_N[concept == number])) == 1, "a cluster joins another as a whole"


def test_more_clusters_than_rows_and_none_large_enough_are_one_line() -> None:
    found, _ = planted([10, 10])
    with pytest.raises(UserError, match="dnc.clusters: 30 clusters of 20 rows"):
        divide(found.__getitem__, 20, (30,), 1)
    with pytest.raises(UserError, match="dnc.clusters: 2 clusters of 20 rows, and no two of them have 15 rows"):
        divide(found.__getitem__, 20, (2,), 15)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=12), st.integers(1, 5_000))
def test_steps_are_in_proportion_and_add_up(sizes: list[int], steps: int) -> None:
    found = expert_steps(sizes, steps)
    assert min(found) >= 1
    raised = [size * steps / sum(sizes) for size in sizes]
    assert all(abs(one - exact) <= 1 for one, exact in zip(found, raised, strict=True))
    assert steps <= sum(found) < steps + len(sizes)


def test_steps_of_a_full_run() -> None:
    assert expert_steps([500, 300, 200], 100) == [50, 30, 20] and expert_steps([1, 1, 1], 10) == [4, 3, 3]
    assert expert_steps([98, 1, 1], 10) == [10, 1, 1], "none goes without"


def test_more_clusters_than_batches_are_refused_beforehand() -> None:
    check_numbers((3, 4), 32, 8)
    for rows, remedy in ((39, "use 4 or fewer, or a smaller batch"), (10, "use a smaller batch")):
        with pytest.raises(
            UserError, match=f"dnc.clusters: 5 clusters of {rows} rows, and an expert needs .*; {remedy}"
        ):
            check_numbers((2, 5), rows, 8)
