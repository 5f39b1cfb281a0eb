"""The same scores drawn alone: the noise is the draw's own, full records are exact, sampled ones come close."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch

from superbatch.data.embeddings import EmbeddingCache, EmbeddingCacheWriter
from superbatch.data.order import Order
from superbatch.options import SelectionSettings
from superbatch.reporting.alone import Beside, agreement, contrast, from_record, replayed, weight_of_others
from superbatch.reporting.audit import Draw
from superbatch.reporting.choices import Known
from superbatch.selection import PairEmbeddings, Selection, select_independently, select_jointly

ROWS, BIG, SMALL, SEED, STEPS, GAIN = 2_000, 100, 20, 3, 40, 10.0
RULE = SelectionSettings("joint", 0.8, "easy_reference", 8, GAIN)
DRAW = Draw(Order(SEED, ROWS, BIG), STEPS, SMALL, ROWS)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingCache:
    """Embeddings around a few directions, of which one is frequent: a joint draw spreads, an independent one does not."""
    rng = np.random.default_rng(0)
    concept = rng.choice(10, ROWS, p=[0.4, *[0.6 / 9] * 9])
    sides = [np.eye(10)[concept] + 0.35 * rng.standard_normal((ROWS, 10)) for _ in range(2)]
    file = tmp_path_factory.mktemp("cache") / "embeddings.arrow"
    with EmbeddingCacheWriter(
        file, 10, 10, {"scale": 5.0, "bias": -4.0, "loss": "sigmoid", "fingerprint": "x"}
    ) as writer:
        writer.append(*(side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides))
    return EmbeddingCache(file)


@pytest.fixture(scope="module")
def again(cache: EmbeddingCache) -> Beside:
    return replayed(DRAW, cache, RULE, "sigmoid", SEED, range(STEPS))


def pairs(cache: EmbeddingCache, step: int) -> PairEmbeddings:
    return PairEmbeddings(*map(torch.from_numpy, cache.rows(DRAW.super_batch(step))), cache.scale, cache.bias)


def record(
    cache: EmbeddingCache, sampled: int, select: Callable[..., Selection] = select_jointly, **more: int
) -> pd.DataFrame:
    """What a run by the reference's scores would have recorded, `sampled` of the rows passed over at each step."""
    steps, rng = [], np.random.default_rng(1)
    for step in range(STEPS):
        rows = DRAW.super_batch(step)
        found = select(None, pairs(cache, step), SMALL, gain=GAIN, criterion="easy_reference", seed=SEED, step=step, rows=torch.from_numpy(rows), **more)  # fmt: skip
        chosen = found.indices.numpy()
        shown = np.concatenate([chosen, rng.permutation(np.setdiff1d(np.arange(BIG), chosen))[:sampled]])
        score, first = found.scores.numpy()[shown], np.arange(len(shown)) < SMALL
        steps.append(pd.DataFrame({"step": step, "row": rows[shown], "score": score, "chosen": first}))
    return pd.concat(steps, ignore_index=True)


def taken(beside: Beside, who: str) -> dict[int, set[int]]:
    return {int(step): set(own["row"]) for step, own in beside.rows[beside.rows[who]].groupby("step")}


def test_what_is_made_again_is_what_selection_gives(cache: EmbeddingCache, again: Beside) -> None:
    assert again.exact and agreement(again, record(cache, 5, num_chunks=8)) == 1
    for step, rows in taken(again, "alone").items():
        drawn = DRAW.super_batch(step)
        found = select_independently(None, pairs(cache, step), SMALL, gain=GAIN, criterion="easy_reference", seed=SEED, step=step, rows=torch.from_numpy(drawn))  # fmt: skip
        assert rows == set(drawn[found.indices.numpy()])


def test_other_picks_do_not_agree(cache: EmbeddingCache, again: Beside) -> None:
    picks = record(cache, 5, num_chunks=8)
    picks.loc[picks["step"] == 0, "chosen"] = False
    assert agreement(again, picks) == pytest.approx(1 - 1 / STEPS)


def test_a_full_record_is_exact(cache: EmbeddingCache, again: Beside) -> None:
    found = from_record(record(cache, BIG - SMALL, num_chunks=8), BIG, GAIN, SEED)
    assert found.exact
    for who in ("joint", "alone"):
        assert taken(found, who) == taken(again, who)


def test_a_sampled_record_comes_close(cache: EmbeddingCache, again: Beside) -> None:
    known = Known(cache.pair_scores(), cache.texts(np.arange(ROWS)).argmax(1))
    exact = contrast(again, known, 1).set_index("who")
    found = from_record(record(cache, 10, num_chunks=8), BIG, GAIN, SEED)
    near = contrast(found, known, 1).set_index("who")
    assert not found.exact and found.rows.groupby("step")[["joint", "alone"]].sum().eq(SMALL).all(axis=None)
    assert 0.2 < exact["overlap"].iloc[0] < 0.8, "the two draws must differ for this to test anything"
    assert near["overlap"].iloc[0] == pytest.approx(exact["overlap"].iloc[0], abs=0.05)
    assert near.loc["alone", "percentile"] == pytest.approx(exact.loc["alone", "percentile"], abs=0.02)
    assert near.loc["alone", "concepts"] == pytest.approx(exact.loc["alone", "concepts"], rel=0.1)
    assert near.loc["joint"].equals(exact.loc["joint"].where(exact.columns != "overlap", near.loc["joint", "overlap"]))


def test_an_independent_run_is_nearly_its_own_likeness(cache: EmbeddingCache) -> None:
    found = from_record(record(cache, 10, select_independently), BIG, GAIN, SEED)
    assert found.rows.loc[found.rows["joint"], "alone"].mean() > 0.95


def test_contrast_by_hand() -> None:
    rows = pd.DataFrame(
        [(0, 0, True, True), (0, 1, True, False), (0, 2, False, True), (7, 0, True, False), (7, 3, True, True), (7, 2, False, True)],
        columns=["step", "row", "joint", "alone"],
    )  # fmt: skip
    known = Known(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 0, 0]), np.array([True, True, False, False]))
    frame = contrast(Beside(rows, True), known, 2)
    assert list(frame["who"]) == ["joint", "alone"] * 2 and list(frame["steps"]) == [1, 1, 8, 8]
    assert list(frame["overlap"]) == [0.5] * 4
    assert list(frame["purity"]) == [1, 0.5, 0.5, 0]
    assert list(frame["percentile"]) == pytest.approx([0.25, 0.375, 0.5, 0.75])
    assert list(frame["in_batch"]) == [2, 1, 1, 1] and list(frame["concepts"]) == pytest.approx([2, 1, 1, 1])


def test_the_weight_of_others_is_that_of_random_batches(cache: EmbeddingCache) -> None:
    found = weight_of_others(cache, [2, 30])
    image, text = (side.astype(np.float64) for side in cache.rows(np.arange(ROWS)))
    own, others, rng = [], [], np.random.default_rng(4)
    for _ in range(400):
        rows = rng.choice(ROWS, 30, replace=False)
        loss = np.logaddexp(0, cache.scale * image[rows] @ text[rows].T + cache.bias)
        others.append(loss[0, 1:].sum() + loss[1:, 0].sum())
        own.append(np.logaddexp(0, -(cache.scale * image[rows[0]] @ text[rows[0]] + cache.bias)))
    assert list(found["batch_size"]) == [2, 30]
    assert found["own"][1] == pytest.approx(np.std(own), rel=0.12)
    assert found["others"][1] == pytest.approx(np.std(others), rel=0.12)
    assert found["others"][0] < found["others"][1] / 5
