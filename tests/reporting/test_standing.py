from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic

from superbatch.data.embeddings import cosines
from superbatch.reporting.standing import cache_of, spread, standing


@pytest.fixture
def features(tmp_path: Path) -> Path:
    return synthetic.write_features(tmp_path, np.array(["clean"] * 20 + ["mismatched"] * 80, dtype=object))


def picks_of(rows: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"step": np.arange(len(rows)) // 10, "row": rows, "score": 0.0, "chosen": True})


def test_picks_of_the_filter_are_all_favourites(features: Path) -> None:
    cache = cache_of(features, "mine")
    assert cache is not None
    found = standing(picks_of(np.arange(20)), cache, 0.2)
    assert found is not None and found.favourites == 1 and list(found.over_time["favourites"]) == [1, 1]
    never = standing(picks_of(np.arange(20, 100)), cache, 0.2)
    assert never is not None and never.favourites == 0 and never.share == 0.2


def test_picks_at_random_are_favourites_by_chance(features: Path) -> None:
    cache = cache_of(features, None)
    assert cache is not None
    found = standing(picks_of(np.random.default_rng(0).integers(100, size=5_000)), cache, 0.2)
    assert found is not None and found.favourites == pytest.approx(0.2, abs=0.02)
    assert found.spread == pytest.approx(found.pool_spread, abs=1e-5)  # all rows of the pool, each counted once


def test_rows_passed_over_and_rows_of_other_sets_do_not_count(features: Path) -> None:
    cache = cache_of(features, "mine")
    assert cache is not None
    picks = picks_of(np.array([0, 1, 99, 100, 250])).assign(chosen=[True, True, False, True, True])
    found = standing(picks, cache, 0.2)
    assert found is not None and found.favourites == 1
    assert standing(picks[2:], cache, 0.2) is None


def test_spread_is_one_minus_the_mean_cosine_of_pairs() -> None:
    image = np.random.default_rng(1).standard_normal((30, 4))
    pairs = [cosines(image[i][None], image[j][None])[0] for i in range(30) for j in range(30) if i != j]
    assert spread(image) == pytest.approx(1 - np.mean(pairs))
    assert spread(np.ones((3, 4))) == pytest.approx(0, abs=1e-12) and np.isnan(spread(np.ones((1, 4))))


def test_embeddings_of_another_reference_are_left_alone(features: Path, tmp_path: Path) -> None:
    assert cache_of(features, "another") is None and cache_of(None, "mine") is None
    assert cache_of(tmp_path / "nowhere", "mine") is None
