"""Clusters of captions: planted ones are found, and found again."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from superbatch.curation import clusters
from superbatch.curation.clusters import check_clusters, effective_number, text_clusters
from superbatch.data.embeddings import EmbeddingCache, EmbeddingCacheWriter
from superbatch.errors import UserError

METADATA = {"scale": 1.0, "bias": 0.0, "loss": "sigmoid", "fingerprint": "x"}


def cache_of(folder: Path, text_ND: np.ndarray) -> EmbeddingCache:
    """A cache with these texts; its images say nothing of them."""
    with EmbeddingCacheWriter(folder / "embeddings.arrow", 2, text_ND.shape[1], METADATA) as writer:
        writer.append(np.ones((len(text_ND), 2)), text_ND)
    return EmbeddingCache(folder / "embeddings.arrow")


def planted(sizes: list[int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Texts around orthogonal directions, of any length between 1 and 3, shuffled: (N, 16), and the direction of each."""
    rng = np.random.default_rng(seed)
    concept = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    text = np.eye(16)[concept] + 0.05 * rng.normal(size=(len(concept), 16))
    return text * rng.uniform(1, 3, (len(concept), 1)), concept


def test_planted_clusters_are_found_whatever_the_lengths(tmp_path: Path) -> None:
    text, concept = planted([300, 90, 30, 200, 60])
    found = text_clusters(cache_of(tmp_path, text), 5)
    assert found.dtype == np.int32 and found.shape == (680,) and set(found) == set(range(5))
    assert adjusted_rand_score(concept, found) == 1


def test_the_same_clusters_again_whatever_ran_before(tmp_path: Path) -> None:
    cache = cache_of(tmp_path, np.random.default_rng(1).normal(size=(500, 8)))
    first = text_clusters(cache, 20)
    np.random.seed(7)  # noqa: NPY002  # the global state is none of its business
    assert np.array_equal(text_clusters(cache, 20), first)


def test_a_large_set_is_fitted_to_a_sample_and_assigned_in_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, concept = planted([400, 300, 200])
    cache = cache_of(tmp_path, text)
    read: list[int] = []
    texts = EmbeddingCache.texts
    monkeypatch.setattr(EmbeddingCache, "texts", lambda self, rows: (read.append(len(rows)), texts(self, rows))[1])
    monkeypatch.setattr(clusters, "FIT_ROWS", 100)
    monkeypatch.setattr(clusters, "TILE", 64)
    assert adjusted_rand_score(concept, text_clusters(cache, 3)) == 1
    assert read[0] == 100 and max(read[1:]) == 64 and sum(read[1:]) == 900


def test_captions_that_are_equal_lie_together(tmp_path: Path) -> None:
    """Boilerplate: fewer captions differ than clusters were asked for, and one of them has no direction at all."""
    caption = np.random.default_rng(2).integers(0, 3, 60)
    text = np.vstack([np.eye(4)[:2], np.zeros(4)])[caption]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = text_clusters(cache_of(tmp_path, text), 8)
    assert adjusted_rand_score(caption, found) == 1


def test_more_clusters_than_rows_are_refused(tmp_path: Path) -> None:
    cache = cache_of(tmp_path, np.eye(4))
    assert set(text_clusters(cache, 4)) <= {0, 1, 2, 3}
    with pytest.raises(UserError, match=r"^clusters: 5 clusters of 4 rows; use 4 or fewer"):
        text_clusters(cache, 5)
    with pytest.raises(UserError, match=r"^pool\.clusters: 60,000 clusters of the 50,000 rows that they are fitted to"):
        check_clusters(60_000, 1_000_000, "pool.clusters")


def test_effective_number() -> None:
    assert effective_number(np.array([7, 7, 7, 0])) == pytest.approx(3)
    assert effective_number(np.array([9, 0])) == 1
    assert 1 < effective_number(np.array([9, 1])) < 2
