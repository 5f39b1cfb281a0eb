"""Verdicts on hand-made picks, where each is known; counts against brute force; the page."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from test_page import check

from superbatch.data.order import Order
from superbatch.errors import UserError
from superbatch.options import AuditSettings
from superbatch.reporting.audit import Draw, audit_rows, chance_at_most, low_reference
from superbatch.reporting.audit_page import Audit, definitions, render, shelves
from superbatch.reporting.audit_truth import badness, by_kind, truth_metrics
from superbatch.reporting.figures.audit import audit_figure

# Ten rows, B = 5, b = 1, 20 steps: ten epochs, so that every row is seen ten times, five of them late.
DRAW = Draw(Order(3, 10, 5), steps=20, batch_size=1, num_rows=10)
THRESHOLDS = AuditSettings(low_reference=0.3)
FIRST_FIVE, NEVER, ALWAYS = set(range(5)), set[int](), set(range(10))
CHOSEN = {0: ALWAYS, 1: FIRST_FIVE, 2: FIRST_FIVE, 3: NEVER, 4: NEVER, 5: {1, 7}, 6: FIRST_FIVE, 7: FIRST_FIVE, 8: {0, 9}, 9: {4, 5}}  # fmt: skip
PASSED_SCORE = {2: 1.0}  # where it is not -1
UNRECORDED = {6}  # never among the passed-over rows that were recorded
REFERENCE = np.array([0.5, 0.5, 0.5, -0.9, 0.5, 0.5, 0.5, -0.8, -0.7, 0.5])


def picks(draw: Draw = DRAW) -> pd.DataFrame:
    """What a run would have recorded that chose each row at the appearances of CHOSEN, at a score of 2."""
    seen, entries = dict.fromkeys(range(10), 0), []
    for step in range(draw.steps):
        for row in draw.super_batch(step).tolist():
            chosen = seen[row] in CHOSEN[row]
            seen[row] += 1
            if chosen or row not in UNRECORDED:
                entries.append((step, row, 2.0 if chosen else PASSED_SCORE.get(row, -1.0), chosen))
    return pd.DataFrame(entries, columns=["step", "row", "score", "chosen"])


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return audit_rows(picks(), DRAW, REFERENCE, THRESHOLDS)


def test_every_verdict_by_hand(rows: pd.DataFrame) -> None:
    assert dict(zip(rows["row"], rows["verdict"], strict=True)) == {
        0: "worth_it",  # 10 of 10
        1: "learned",  # chosen early, passed over late at a score below 0
        2: "worth_it",  # the same, but its late score is above 0; 5 of 10 has a chance of 3.3 %
        3: "unlearnable",  # 0 of 10, low reference score
        4: "never_worth",  # 0 of 10
        5: "undecided",  # 2 of 10 is the base rate
        6: "worth_it",  # as 1, but nothing was recorded late: that it was learned can't be said
        7: "worth_it",  # as 1, but the reference makes nothing of it
        8: "undecided",
        9: "undecided",
    }


def test_counts_and_mean_scores_by_hand(rows: pd.DataFrame) -> None:
    assert (rows["seen"] == 10).all() and (rows["seen_late"] == 5).all()
    assert list(rows["chosen"]) == [len(CHOSEN[row]) for row in range(10)]
    assert rows["mean_score"][5] == pytest.approx((2 * 2 - 8) / 10)
    assert rows["mean_score_late"][1] == -1
    assert rows["mean_score"][6] == 2, "the chosen speak alone where nothing passed over was recorded"
    assert np.isnan(rows["mean_score_late"][6])


def test_one_recorded_appearance_stands_for_all_that_were_passed_over() -> None:
    table = picks()
    passed = table[(table["row"] == 5) & ~table["chosen"]]
    rows = audit_rows(table.drop(passed.index[1:]), DRAW, REFERENCE, THRESHOLDS)
    assert rows["recorded"][5] == 3
    assert rows["mean_score"][5] == pytest.approx((2 * 2 - 8) / 10)


def test_steps_that_take_all_and_score_nothing_count_and_leave_mean_scores_alone() -> None:
    """As where f has followed the learner to 0: there are no scores, and a missing one is not a score of 0."""
    scored = audit_rows(picks(), DRAW, REFERENCE, THRESHOLDS)
    some = picks()
    some.loc[some["chosen"] & some["row"].isin([0, 5]) & (some["step"] >= 10), "score"] = np.nan
    some.loc[some["chosen"] & (some["row"] == 1), "score"] = np.nan
    found = audit_rows(some, DRAW, REFERENCE, THRESHOLDS)
    assert found["chosen"].tolist() == scored["chosen"].tolist()
    assert found.loc[0, "mean_score"] == 2.0 and found.loc[0, "recorded"] == 5, "not 0 for the five without one"
    assert found.loc[1, "mean_score"] == -1.0 and found.loc[1, "recorded"] == 5, "those that were passed over are known"
    assert np.isnan(found.loc[0, "mean_score_late"]), "nothing is recorded late"
    rest = [2, 3, 4, 6, 7, 8, 9]
    assert found.loc[rest, "mean_score"].tolist() == scored.loc[rest, "mean_score"].tolist()


def test_rows_that_are_not_drawn_from_are_unseen() -> None:
    part = np.arange(0, 10, 2)
    draw = replace(DRAW, order=Order(3, 5, 5), steps=10, rows=part)
    rows = audit_rows(picks()[:0], draw, REFERENCE, THRESHOLDS)
    assert set(rows.loc[rows["verdict"] == "unseen", "row"]) == set(range(10)) - set(part.tolist())


def test_rows_seen_too_rarely_are_undecided() -> None:
    table = picks()
    rows = audit_rows(table[table["step"] < 4], replace(DRAW, steps=4), REFERENCE, THRESHOLDS)
    assert rows["verdict"][4] == "undecided", "never chosen, but seen twice only"


def test_other_scores_than_learnability_can_not_tell_what_was_learned() -> None:
    rows = audit_rows(picks(), replace(DRAW, learnability=False), REFERENCE, THRESHOLDS)
    assert rows["verdict"][1] == "worth_it"


def test_picks_of_another_run_are_refused() -> None:
    with pytest.raises(UserError, match=r"picks.parquet: rows picked at step 0 are not in the super-batch"):
        audit_rows(picks(), replace(DRAW, order=Order(4, 10, 5)), REFERENCE, THRESHOLDS)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_seen_counts_add_up(data: st.DataObject) -> None:
    used = data.draw(st.integers(1, 60), "rows in use")
    batch = data.draw(st.integers(1, used), "B")
    steps, window = data.draw(st.integers(0, 40), "steps"), data.draw(st.sampled_from([0, 7]), "window")
    rows = np.sort(np.random.default_rng(0).permutation(80)[:used])
    draw = Draw(Order(data.draw(st.integers(0, 9), "seed"), used, batch, window), steps, 1, 80, rows)
    seen, cut = draw.seen(0, steps), data.draw(st.integers(0, steps), "cut")
    assert seen.sum() == steps * batch
    assert (seen == draw.seen(0, cut) + draw.seen(cut, steps)).all()
    assert set(np.flatnonzero(seen)) <= set(rows.tolist())
    epochs = -(-steps // draw.order.steps_per_epoch)
    assert seen.max() <= epochs, "a row is drawn once an epoch at most"
    counted = np.zeros(80, int)
    for step in range(steps):
        for row in draw.super_batch(step):
            counted[row] += 1
    assert (counted == seen).all()


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.01, 0, 1])
def test_chances_are_the_binomials(rate: float) -> None:
    trials = np.array([0, 1, 5, 10, 10, 300])
    count = np.array([0, 0, 5, 0, 3, 60])
    assert np.allclose(chance_at_most(count, trials, rate), binom.cdf(count, trials, rate), atol=1e-12)


def test_a_run_that_chose_all_it_was_shown_says_nothing_of_a_row() -> None:
    draw = replace(DRAW, batch_size=5)
    chosen = [(step, row, 1.0, True) for step in range(draw.steps) for row in draw.super_batch(step).tolist()]
    found = audit_rows(pd.DataFrame(chosen, columns=["step", "row", "score", "chosen"]), draw, REFERENCE, THRESHOLDS)
    assert draw.base_rate == 1 and set(found["verdict"]) == {"undecided"}
    assert audit_figure(found, draw.base_rate).axes


def test_rows_without_a_reference_score_are_not_low() -> None:
    assert list(low_reference(np.array([np.nan, 1.0, 0.0]), 0.5)) == [False, False, True]
    assert not low_reference(np.full(3, np.nan), 0.5).any()


KINDS = np.array(["clean", "clean", "near_duplicate", "garbled", "clean", "mismatched", "clean", "off_topic", "garbled", "unknown"], dtype=object)  # fmt: skip


def test_precision_and_recall_by_hand(rows: pd.DataFrame) -> None:
    tidy = by_kind(rows["verdict"].to_numpy(), KINDS).set_index(["verdict", "kind"])
    assert tidy.loc[("worth_it", "clean"), "precision"] == 0.5  # rows 0, 6 of 0, 2, 6, 7
    assert tidy.loc[("worth_it", "clean"), "recall"] == 0.5  # of 0, 1, 4, 6
    assert tidy.loc[("unlearnable", "garbled"), "recall"] == 0.5  # row 3 of 3, 8
    found = badness(rows, KINDS).set_index("found")
    assert list(found.loc["unlearnable + never_worth", ["rows", "precision", "recall"]]) == [2, 0.5, 0.25]
    assert found.loc["unlearnable + never_worth", "by_reference"] == 1.0  # rows 3 and 7 have the lowest
    assert found.loc["worth_it", "precision"] == 0.75  # rows 0, 2, 6: the caption fits
    numbers = truth_metrics(rows, KINDS)
    assert numbers["unlearnable.bad.precision"] == 1.0
    assert numbers["worth_it.clean.recall"] == 0.5


@pytest.fixture(scope="module")
def audit(rows: pd.DataFrame) -> Audit:
    def captions(wanted: np.ndarray) -> list[str]:
        return [f"a <b>caption</b> of {row}" for row in wanted]

    subset = {"verdicts": ["worth_it"], "rows": 4}
    return Audit("jest", rows, DRAW, THRESHOLDS, synthetic.pixels, captions, KINDS, subset)


def test_the_page_says_what_a_decision_would_have_left_out_where_one_is_named(audit: Audit) -> None:
    reasons = ["low_score", None, "low_score", *["duplicate"] * 3, *[None] * 4]
    named = replace(audit.settings, decision="clean")
    page = render(replace(audit, rows=audit.rows.assign(left_out_by=reasons), settings=named))
    assert "What the decision clean keeps and leaves out" in page and "left_out" not in page
    (table,) = re.findall(r"leaves out</h3>.*?(<table.*?</table>)", page, re.DOTALL)
    head, *body = re.findall(r"<tr.*?</tr>", table, re.DOTALL)
    assert re.findall(r">([^<\n]+)</th>", head) == ["verdict", "duplicate", "kept", "low_score"]
    cells = {found[0]: found[1:] for found in (re.findall(r">([^<\n]+)</t[dh]>", row) for row in body)}
    assert cells["worth it"] == ["0", "2", "2"], "rows 0, 2, 6 and 7"
    assert "What the decision" not in render(audit)


def test_the_page_needs_nothing_else_and_shows_every_part(audit: Audit) -> None:
    page = render(audit)
    found = check(page)
    assert all(reference.startswith(("data:", "#")) for reference in found.references)
    assert "prefers-color-scheme: dark" in page and "<script" not in page
    text = " ".join(found.text)
    for part in ("worth it: 4 rows", "chosen 10 of 10", "precision", "recall", "Exact: how often", "of B = 5"):
        assert part in text
    assert "<b>caption</b>" in text, "captions are escaped"
    assert len(re.findall(r'<figure class="item">', page)) == 10


def test_examples_of_each_verdict_carry_their_own_numbers(audit: Audit) -> None:
    found = {shelf.title: shelf for shelf in shelves(audit)}
    assert list(found) == ["Worth it", "Learned", "Unlearnable", "Never worth", "Undecided"]
    (item,) = found["Learned"].items
    assert (item.row, item.kind, item.note) == (1, "clean", "chosen 5 of 10 · score 0.5 · reference 0.5")


def test_a_pool_without_truth_says_so(audit: Audit) -> None:
    bare = replace(audit, kinds=None, pixels=None, captions=None, subset={})
    text = " ".join(check(render(bare)).text)
    assert "can't be checked" in text and "Nothing was exported." in text
    assert not any("precision" in name for name in bare.metrics())
    assert bare.metrics()["worth_it.rows"] == 4


def test_definitions_have_the_thresholds_in_force(audit: Audit) -> None:
    said = definitions(replace(audit, settings=AuditSettings(worth_it_chance=0.011, low_reference=0.17)))
    assert "0.011" in said["worth_it"] and "17 %" in said["unlearnable"]
    other = replace(audit, draw=replace(DRAW, learnability=False))
    assert definitions(other)["learned"].startswith("not used")
