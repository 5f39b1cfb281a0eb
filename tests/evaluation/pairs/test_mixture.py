from __future__ import annotations

import numpy as np
import pytest

from superbatch.evaluation.pairs.mixture import bad_share, mixture, purity_of_best


def drawn(bad: float, seed: int, pool: int = 2_000, true: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of a pool with this share of bad pairs, of true pairs, and of bad ones: normal, two standard deviations apart."""
    rng = np.random.default_rng(seed)
    is_bad = rng.random(pool) < bad
    return rng.normal(np.where(is_bad, 0, 2), 1), rng.normal(2, 1, true), rng.normal(0, 1, pool)


def share_by_the_matrix(pool: np.ndarray, true: np.ndarray, bad: np.ndarray) -> float:
    """Least squares between distribution functions at every observed score, float64, by numpy's solver."""
    at = np.sort(np.concatenate([pool, true, bad]))
    functions = [np.searchsorted(np.sort(scores), at, "right") / len(scores) for scores in (pool, true, bad)]
    solution = np.linalg.lstsq((functions[2] - functions[1])[:, None], functions[0] - functions[1], rcond=None)[0]
    return float(solution[0])


@pytest.mark.parametrize("bad", [0.0, 0.3, 0.65, 1.0])
def test_the_share_is_found_with_an_interval_that_covers(bad: float) -> None:
    found = [bad_share(mixture(*drawn(bad, seed), seed)) for seed in range(8)]
    assert np.mean([one.value for one in found]) == pytest.approx(bad, abs=0.03)
    assert sum(one.low - 1e-9 <= bad <= one.high + 1e-9 for one in found) >= (7 if 0 < bad < 1 else 3)
    scores = drawn(bad, 0)
    assert found[0].value == pytest.approx(np.clip(share_by_the_matrix(*scores), 0, 1), abs=5e-3)


def test_a_pool_whose_true_pairs_are_harder_is_called_worse_than_it_is() -> None:
    pool, true, bad = drawn(0.3, 1)
    assert bad_share(mixture(pool, true + 0.5, bad, 0)).value > 0.35


@pytest.mark.parametrize("kept", [0.1, 0.3, 0.5])
def test_purity_of_the_best_part_is_what_it_is(kept: float) -> None:
    rng = np.random.default_rng(2)
    is_bad = rng.random(20_000) < 0.6
    pool = rng.normal(np.where(is_bad, 0, 2), 1)
    best = np.argsort(-pool)[: round(kept * len(pool))]
    found = purity_of_best(mixture(pool, rng.normal(2, 1, 20_000), rng.normal(0, 1, 20_000), 0), kept)
    assert found.value == pytest.approx(1 - is_bad[best].mean(), abs=0.02)
    assert found.low < found.value < found.high


def test_scores_that_tell_nothing_give_nothing() -> None:
    same = np.ones(10)
    assert np.isnan(bad_share(mixture(same, same, same, 0)).value)


def test_the_cut_leaves_no_more_than_the_share_above_it() -> None:
    pool, true, bad = drawn(0.5, 3)
    found = mixture(pool, true, bad, 0)
    for kept in (0.1, 0.3, 0.5):
        above = (pool > found.edge[found.cut(kept)]).mean()
        assert kept - 0.02 < above <= kept
