"""What a run trained on: by hand, against brute force, and uniform runs against the closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from superbatch.data.order import Order
from superbatch.reporting.choices import COLUMNS, Known, along, by_chance, percentiles, told_apart

KNOWN = Known(
    reference_R=np.array([0.1, 0.2, 0.2, 0.4]),
    concept_R=np.array([0, 0, 1, 2]),
    good_R=np.array([False, True, True, True]),
    true_concept_R=np.array([-1, 3, 3, 0]),
)


def picks(entries: list[tuple[int, int, float, bool]]) -> pd.DataFrame:
    return pd.DataFrame(entries, columns=["step", "row", "score", "chosen"])


def test_by_hand() -> None:
    table = picks(
        [(0, 1, 2.0, True), (0, 3, 1.0, True), (0, 0, -1.0, False), (1, 3, 0.0, True), (1, 2, 1.0, True), (1, 1, -3.0, False)]
    )  # fmt: skip
    frame = along(table, KNOWN, parts=2)
    assert tuple(frame.columns) == COLUMNS
    assert list(frame["steps"]) == [1, 2] and list(frame["picks"]) == [2, 2]
    assert list(frame["purity"]) == [1, 1]
    assert list(frame["reference"]) == pytest.approx([0.3, 0.3])
    assert list(frame["percentile"]) == [(0.5 + 0.875) / 2] * 2  # of the two equals one half counts as below
    assert list(frame["score"]) == [1.5, 0.5] and list(frame["passed_score"]) == [-1, -3]
    assert list(frame["concepts"]) == pytest.approx([2, 2]) and list(frame["in_batch"]) == [2, 2]
    assert list(frame["true_concepts"]) == pytest.approx([2, 2])
    assert (
        list(frame["distinct"]) == [2, 3]
        and list(frame["repeats"]) == [1, 4 / 3]
        and list(frame["never"]) == [0.5, 0.25]
    )


def test_a_row_passed_over_before_is_new_when_it_is_chosen() -> None:
    frame = along(picks([(0, 0, 0.0, True), (0, 1, 0.0, False), (1, 1, 0.0, True)]), KNOWN, parts=2)
    assert list(frame["distinct"]) == [1, 2]


def test_curated_rows_are_left_out_and_what_is_unknown_is_nan() -> None:
    unknown = Known(KNOWN.reference_R, KNOWN.concept_R)
    frame = along(picks([(0, 0, np.nan, True), (0, 9, np.nan, True)]), unknown, parts=1)
    assert frame["picks"][0] == 1 and frame[["purity", "true_concepts", "score", "passed_score"]].isna().all(axis=None)
    assert along(picks([(0, 9, np.nan, True)]), unknown).empty


@given(st.lists(st.floats(-1, 1, width=16), min_size=1, max_size=30).map(np.array))
def test_percentiles_by_brute_force(scores: np.ndarray) -> None:
    found = percentiles(scores)
    assert list(found) == pytest.approx([((scores < s).sum() + (scores == s).sum() / 2) / len(scores) for s in scores])
    assert found.mean() == pytest.approx(0.5)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_told_apart_is_the_area_under_the_curve(entries: list[tuple[int, bool]]) -> None:
    scores, good = (np.array(column) for column in zip(*entries, strict=True))
    if good.all() or not good.any():
        assert np.isnan(told_apart(scores, good))
    else:
        assert told_apart(scores, good) == pytest.approx(roc_auc_score(good, scores))


def test_a_uniform_run_is_what_chance_says() -> None:
    rng = np.random.default_rng(0)
    rows, batch, steps = 2_000, 16, 300  # two and a half epochs
    good, true = rng.random(rows) < 0.3, rng.choice(30, rows, p=np.arange(1, 31) / 465) - 1
    known = Known(rng.random(rows), rng.choice(40, rows), good, true)
    order = Order(1, rows, batch)
    drawn = np.concatenate([order.rows(step) for step in range(steps)])
    table = pd.DataFrame({"step": np.repeat(np.arange(steps), batch), "row": drawn, "score": np.nan, "chosen": True})
    for parts in (1, 10):
        own, chance = along(table, known, parts), by_chance(known, batch, steps, parts)
        assert (own[["steps", "picks"]] == chance[["steps", "picks"]]).all(axis=None)
        for name, within in {"concepts": 0.06, "true_concepts": 0.06, "in_batch": 0.02, "true_in_batch": 0.03, "distinct": 0.01, "repeats": 0.01}.items():  # fmt: skip
            assert own[name].to_numpy() == pytest.approx(chance[name].to_numpy(), rel=within), name
        for name in ("purity", "percentile", "reference", "never"):
            assert own[name].to_numpy() == pytest.approx(chance[name].to_numpy(), abs=0.06), name
    assert by_chance(known, batch, steps, 1)["never"][0] == pytest.approx((1 - 125 * 16 / rows) ** 2, abs=1e-9)
