"""What a filter keeps: exactly so many rows, divided among clusters as the balance says, and the best of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superbatch.artifacts.fingerprints import canonical
from superbatch.curation.groups import kept_count
from superbatch.data.embeddings import EmbeddingCache, EmbeddingCacheWriter
from superbatch.errors import UserError
from superbatch.options import PoolSettings
from superbatch.tasks.filtering import best_of_each, best_rows, kept, quotas, with_share
from superbatch.training.job import deciding

SIZES = st.lists(st.integers(0, 60), min_size=1, max_size=12).filter(any).map(np.array)
METADATA = {"scale": 1.0, "bias": 0.0, "loss": "sigmoid", "fingerprint": "x"}


@st.composite
def asked(draw: Callable) -> tuple[np.ndarray, int]:
    """Sizes of clusters, and how many rows to keep of them."""
    sizes = draw(SIZES)
    return sizes, draw(st.integers(1, int(sizes.sum())))


@given(asked(), st.floats(0, 1))
def test_quotas_add_up_and_no_cluster_gives_more_than_it_has(given_: tuple[np.ndarray, int], balance: float) -> None:
    sizes, keep = given_
    quota = quotas(sizes, keep, balance)
    assert quota.sum() == keep and (quota >= 0).all() and (quota <= sizes).all()


@given(asked())
def test_no_balance_keeps_the_pool_s_proportions(given_: tuple[np.ndarray, int]) -> None:
    sizes, keep = given_
    assert (np.abs(quotas(sizes, keep, 0.0) - keep * sizes / sizes.sum()) < 1).all()


@given(asked())
def test_full_balance_is_level_but_for_clusters_that_give_everything(given_: tuple[np.ndarray, int]) -> None:
    sizes, keep = given_
    quota = quotas(sizes, keep, 1.0)
    rest = quota[quota < sizes]
    assert not len(rest) or (np.ptp(rest) <= 1 and quota.max() <= rest.max() + 1)


@given(asked(), st.floats(0, 1))
def test_quotas_are_the_water_level_found_by_bisection(given_: tuple[np.ndarray, int], balance: float) -> None:
    """The oracle looks for the level itself, without sorting."""
    sizes, keep = given_
    weights = np.where(sizes > 0, np.maximum(sizes, 1.0) ** (1 - balance), 0)
    low, high = 0.0, float(sizes.max())
    for _ in range(200):
        middle = (low + high) / 2
        below = np.minimum(sizes, middle * weights).sum() < keep
        low, high = (middle, high) if below else (low, middle)
    assert (np.abs(quotas(sizes, keep, balance) - np.minimum(sizes, high * weights)) < 1 + 1e-6).all()


@given(asked())
def test_more_balance_is_more_even(given_: tuple[np.ndarray, int]) -> None:
    sizes, keep = given_
    largest = [quotas(sizes, keep, balance).max() for balance in (0.0, 0.5, 1.0)]
    assert largest[0] + 1 >= largest[1] and largest[1] + 1 >= largest[2]


def test_quotas_by_hand() -> None:
    sizes = np.array([100, 0, 16, 4])
    assert list(quotas(sizes, 60, 0.0)) == [50, 0, 8, 2]
    assert list(quotas(sizes, 16, 0.5)) == [10, 0, 4, 2]  # as 10 : 4 : 2, the square roots
    assert list(quotas(sizes, 30, 1.0)) == [13, 0, 13, 4]
    assert list(quotas(sizes, 120, 1.0)) == [100, 0, 16, 4]
    assert list(quotas(np.array([5, 5, 5]), 7, 1.0)) == [3, 2, 2], "of equal fractions the first"


@given(st.data())
def test_the_best_of_each_cluster_are_kept(data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 40))
    whole = st.integers(0, 3)  # few values: many ties
    scores = np.array(data.draw(st.lists(whole, min_size=rows, max_size=rows)), np.float32)
    cluster = np.array(data.draw(st.lists(whole, min_size=rows, max_size=rows)), np.int32)
    sizes = np.bincount(cluster, minlength=5)
    quota = quotas(sizes, data.draw(st.integers(1, rows)), data.draw(st.floats(0, 1)))
    expected = [
        row
        for number in range(5)
        for row in sorted(np.flatnonzero(cluster == number), key=lambda row: (-scores[row], row))[: quota[number]]
    ]
    assert list(best_of_each(scores, cluster, quota)) == sorted(expected)
    one = np.array([quota.sum()])
    assert list(best_of_each(scores, np.zeros(rows, np.int32), one)) == list(best_rows(scores, quota.sum()))


@pytest.fixture
def cache(tmp_path: Path) -> EmbeddingCache:
    """Three concepts of 60, 30 and 10 rows, in this order; within each the earlier rows have the higher scores."""
    text = np.repeat(np.eye(4), [60, 30, 10, 0], axis=0)
    aside = np.concatenate([np.linspace(0.1, 0.9, size) for size in (60, 30, 10)])[:, None] * np.eye(4)[3]
    with EmbeddingCacheWriter(tmp_path / "embeddings.arrow", 4, 4, METADATA) as writer:
        writer.append(text + aside, text)
    return EmbeddingCache(tmp_path / "embeddings.arrow")


def of_each(rows: np.ndarray) -> list[list[int]]:
    """The kept rows of each of the three concepts."""
    return [list(part) for part in np.split(rows, np.searchsorted(rows, [60, 90]))]


def test_a_pool_is_filtered_as_a_whole_by_cluster_or_not_at_all(cache: EmbeddingCache) -> None:
    assert kept(cache, PoolSettings()).rows is None
    whole = kept(cache, PoolSettings(keep_share=0.3))
    assert whole.words == "the best 30 of 100 rows by reference score" and whole.identity == {}
    assert whole.rows is not None and list(whole.rows) == list(best_rows(cache.pair_scores(), 30))
    same = kept(cache, PoolSettings(keep_share=0.3, clusters=3))
    assert same.rows is not None and of_each(same.rows) == [list(range(18)), list(range(60, 69)), list(range(90, 93))]
    level = kept(cache, PoolSettings(keep_share=0.34, clusters=3, balance=1.0))
    assert level.rows is not None and of_each(level.rows) == [
        list(range(12)),
        list(range(60, 72)),
        list(range(90, 100)),
    ]
    assert level.words == (
        "34 of 100 rows, the best of each of 3 clusters by reference score; effective number of clusters 2 in the pool, 3 kept; "
        "kept whole: 1"
    )


def test_rows_that_clusters_decided_are_named(cache: EmbeddingCache) -> None:
    settings = PoolSettings(keep_share=0.3, clusters=3)
    names = kept(cache, settings).identity
    assert len(names["kept_rows"]) == 16 and kept(cache, settings).identity == names
    assert kept(cache, PoolSettings(keep_share=0.3, clusters=3, balance=1.0)).identity != names


def test_more_clusters_than_rows(cache: EmbeddingCache) -> None:
    with pytest.raises(UserError, match=r"^pool\.clusters: 101 clusters of 100 rows; use 100 or fewer"):
        kept(cache, PoolSettings(keep_share=0.3, clusters=101))


def test_without_clusters_a_run_keeps_its_hash() -> None:
    """What the hash is made of, as before there were clusters; with them it says so."""
    before = {"keep_share": 0.3, "add_curated": False}
    assert canonical(deciding(PoolSettings(keep_share=0.3), PoolSettings())) == before
    now = deciding(PoolSettings(keep_share=0.3, clusters=64, balance=0.5), PoolSettings())
    assert canonical(now) == before | {"clusters": 64, "balance": 0.5}
    assert canonical(deciding(PoolSettings(keep_share=0.3, clusters=64), PoolSettings())) == before | {"clusters": 64}


def test_the_share_that_scores_like_known_pairs(cache: EmbeddingCache) -> None:
    scores = cache.pair_scores()
    known = np.linspace(0.7, 0.9, 21)  # 95 % of these score 0.71 or more
    found = with_share(PoolSettings(like_curated=0.95), cache, known)
    assert found == PoolSettings(keep_share=float(np.mean(scores >= 0.71))), "as if the share had been given"
    few = with_share(PoolSettings(like_curated=0.95), cache, known[3:6])
    assert few.keep_share == float(np.mean(scores >= known[3])), "of few pairs the lowest decides"
    assert with_share(PoolSettings(like_curated=0.5, clusters=2), cache, known).clusters == 2
    assert with_share(PoolSettings(like_curated=0.5), cache, np.array([1.5])).keep_share == 1e-4, "never nothing"
    assert with_share(PoolSettings(like_curated=0.95), cache, np.array([-1.0])).keep_share == 1
    levelled = PoolSettings(like_curated=0.95, clusters=8, balance=0.5)
    assert with_share(levelled, cache, np.array([-1.0])) == PoolSettings(), "nothing is left for clusters to share"


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_so_many_known_pairs_score_no_lower(known: list[float], like: float) -> None:
    """The oracle counts: of the known pairs at least the share asked for lie at or above the line, and no higher pair would do as a line."""
    lowest = np.quantile(known, 1 - like, method="lower")
    assert np.mean(np.array(known) >= lowest) >= like - 1e-9
    above = [score for score in known if score > lowest]
    assert not above or np.mean(np.array(known) >= min(above)) <= like + 1 / len(known)


def test_without_known_pairs_no_share_is_found(cache: EmbeddingCache) -> None:
    with pytest.raises(
        UserError,
        match=r"^pool\.like_curated: needs curated pairs that were held out .*; set reference.held_out, such as 0.1",
    ):
        with_share(PoolSettings(like_curated=0.95), cache, np.empty(0))


@pytest.mark.parametrize(("rows", "share", "count"), [(39_600, 0.3, 11_880), (3, 0.5, 2), (5, 0.5, 2), (10, 0.01, 1)])
def test_a_share_in_rows(rows: int, share: float, count: int) -> None:
    assert kept_count(rows, share) == count
