"""What is measured of a pool before a preset is chosen, against oracles that look at every pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from superbatch.data import embeddings
from superbatch.data.embeddings import EmbeddingCache, EmbeddingCacheWriter
from superbatch.tasks.pool_facts import like_curated, near_duplicates

METADATA = {"scale": 1.0, "bias": 0.0, "loss": "sigmoid", "fingerprint": "x"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddingCache:
    """Fifty rows in blocks of seven: the images of rows 3 and 31 are one, that of row 40 is nearly row 8's, and longer."""
    monkeypatch.setattr(embeddings, "ROWS_PER_BLOCK", 7)
    rng = np.random.default_rng(0)
    image_ND, text_ND = rng.normal(size=(2, 50, 6))
    image_ND[31] = image_ND[3]
    image_ND[40] = 2 * image_ND[8] + 0.01 * rng.normal(size=6)
    with EmbeddingCacheWriter(tmp_path / "e.arrow", 6, 6, METADATA) as writer:
        writer.append(image_ND, text_ND)
    return EmbeddingCache(tmp_path / "e.arrow")


@pytest.mark.parametrize("near", [0.999, 0.9, 0.5])
def test_near_duplicates_are_those_found_by_looking_at_every_pair(cache: EmbeddingCache, near: float) -> None:
    rows = np.array([3, 8, 10, 20, 31, 44])
    image_ND = cache.images(np.arange(50)).astype(np.float64)
    image_ND /= np.linalg.norm(image_ND, axis=1, keepdims=True)
    alone = [max(image_ND[row] @ image_ND[other] for other in range(50) if other != row) >= near for row in rows]
    assert near_duplicates(cache, rows, near) == pytest.approx(np.mean(alone))
    assert near_duplicates(cache, np.array([3, 10]), 0.999) == 0.5


def test_what_scores_like_curated_pairs_is_counted_above_the_lowest_of_nearly_all(cache: EmbeddingCache) -> None:
    known = np.linspace(-0.2, 0.4, 21)  # 95 % of them are above the first
    scores = cache.pair_scores()
    assert like_curated(cache, known) == pytest.approx(np.mean(scores >= known[1]), abs=0.02)
    assert like_curated(cache, np.array([-1.0])) == 1.0
    assert like_curated(cache, np.array([])) is None
