"""A filter ratio that follows the learner: B by what was measured, window by window, and a kill anywhere changes nothing."""

from __future__ import annotations

import logging
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from superbatch.data.fields import Source, skipping
from superbatch.data.order import Order
from superbatch.data.sampling import rows_aside
from superbatch.data.windows import Looks, smoothed, windows_of
from superbatch.errors import UserError
from superbatch.models import evaluating
from superbatch.options import AdaptSettings, SelectionSettings, ThenSettings
from superbatch.reporting.runs import Run
from superbatch.selection import p_values
from superbatch.tasks.contrastive import IMAGE, TOKENS
from superbatch.training import adapt, train
from tests.in_ranks import in_ranks
from tests.training.test_ranks import assert_close, ledger_of, picks_of, trained
from tests.training.test_then import chosen_rows
from tests.training.training_helpers import Killed, kill_after, outcome

ADAPT = AdaptSettings(every=4, sample=6, power=2.0)
MEASURED = [
    0.0,
    1.0,
    1.0,
]  # at steps 0, 4 and 8: smoothed to 0, 0.3 and 0.51, so that B = 16, then min(16, 4 / 0.09) and 4 / 0.2601
BY_CACHE = {"criterion": "easy_reference", "adapt": ADAPT}
BY_LEARNER = {"criterion": "learnability", "adapt": ADAPT}


@pytest.fixture
def given(monkeypatch):
    """Let measurements come to these values, one after the other; returns the steps at which there was one."""

    def give(values: list[float]) -> list[float]:
        seen: list[float] = []

        def next_one(p: torch.Tensor) -> float:
            seen.append(float(p.mean()))
            return values[len(seen) - 1]

        monkeypatch.setattr(adapt, "share_of_right", next_one)
        return seen

    return give


def measurements(result) -> list[tuple[int, float]]:
    rows = pq.read_table(result.training_dir / "evaluations.parquet").to_pylist()
    return [(row["step"], row["value"]) for row in rows if (row["name"], row["split"]) == ("pool/right_pairs", "pool")]


@pytest.mark.parametrize("how", [BY_CACHE, BY_LEARNER])
def test_batches_are_chosen_of_as_many_as_was_measured(make_job, given, caplog, how):
    caplog.set_level(logging.INFO)
    given(MEASURED)
    job = make_job(**how)
    result = train(job)
    sizes = [16] * 4 + [16] * 4 + [15] * 4
    picks = pq.read_table(result.training_dir / "picks.parquet").to_pandas().groupby("step")["row"]
    for (step, rows), size in zip(picks, sizes, strict=True):  # b and all that were passed over: fewer than 32
        assert sorted(rows) == sorted(job.source.manifest_rows(job.order.rows(step)[:size])), f"step {step}"
    assert measurements(result) == [(0, 0.0), (4, 1.0), (8, 1.0)]
    scored = np.cumsum(sizes) if how is BY_LEARNER else [0] * 12
    assert ledger_of(result)["samples_scored"] == list(scored)
    assert ledger_of(result)["samples_measured"] == [6] * 4 + [12] * 4 + [18] * 4
    run = Run(result.training_dir.parent)
    assert run.looked_at(np.arange(12)).tolist() == sizes
    assert "step" not in run.validation and set(result.summary["final"]) == {"set/top1"}
    for said in (
        "picks b = 4 of at most B = 16, fewer as the learner learns (joint, ",
        "; at most 0.00 TFLOP",
        "over 54 rows (at most 4.0 epochs)",
    ):
        assert said in caplog.text
    assert "job: 0 % of the pool's pairs look right to the learner: B = 16, f = 0.75" in caplog.text
    assert (
        "job: 51 % of the pool's pairs look right to the learner: B = 15, f = 0.73" in caplog.text
    )  # after that of step 5


def test_what_is_measured_costs_its_forward_passes_in_both_accountings(make_job, given):
    given(MEASURED)
    for how, scored in ((BY_CACHE, [0] * 12), (BY_LEARNER, [16] * 8 + [15] * 4)):
        result = train(make_job(**how, state=how["criterion"]))
        flops, plan = result.summary["flops"], result.summary["plan"]
        forward = flops["forward_per_sample"]
        steps = [3 * 4 + count + (6 if step % 4 == 0 else 0) for step, count in enumerate(scored)]
        assert np.diff(ledger_of(result)["flops_as_executed"], prepend=0) == pytest.approx([n * forward for n in steps])
        reused = 4 * 12 * forward if how is BY_LEARNER else 0
        assert flops["paper_total"] == pytest.approx(sum(steps) * forward - reused)
        assert flops["measuring_total"] == 18 * forward
        assert plan["flops_as_executed"] == pytest.approx((sum(steps) + (4 if how is BY_LEARNER else 0)) * forward)
        given(MEASURED)


def test_it_measures_by_the_weights_before_a_window_on_pairs_that_are_never_picked(make_job, given):
    seen = given([0.5] * 3)
    job = make_job(**BY_CACHE)
    aside = rows_aside(job.selection, 60, 0)
    batch = job.source.left_out.read((IMAGE, TOKENS), np.arange(6), 0)
    assert batch.rows.tolist() == aside.tolist() and len(aside) == 6
    task = make_job(**BY_CACHE, state="other").task
    task.place(torch.device("cpu"), job.training)
    with torch.no_grad(), evaluating(task.clip.model):
        first = float(p_values(*task.sides(batch)).mean())
    picked = {row for rows in chosen_rows(train(job)) for row in rows}
    assert picked and not picked & set(aside.tolist())
    assert seen[0] == pytest.approx(first, abs=1e-12) and len(set(seen)) > 1


def test_the_measurement_itself_is_the_same_each_time(make_job):
    one, two = (train(make_job(**BY_LEARNER, state=state)) for state in "ab")
    assert measurements(one) == measurements(two) and outcome(one) == outcome(two)


def jumping(p: torch.Tensor) -> float:
    """A share that follows from the weights, and is another one with the least change of them."""
    return float(p.mean() * 1e3) % 1


@pytest.mark.parametrize("how", [BY_CACHE, BY_LEARNER])
def test_killed_before_at_and_after_a_border_is_never_killed(make_job, monkeypatch, how):
    """Killed in steps 3, 4, 7 and 11, from the states of 2, 4, 6 and 10 steps; with workers and without."""
    usual = {**how, "steps": 14, "adapt": AdaptSettings(every=4, sample=6, power=1.0)}
    monkeypatch.setattr(adapt, "share_of_right", jumping)
    never = train(make_job(**usual, state="never"))
    again = partial(make_job, **usual, state="killed", checkpoint_every=2)
    for steps, workers in ((3, 1), (2, 0), (3, 1), (5, 0)):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, steps)
            train(again(workers=workers))
    assert outcome(train(again(workers=1))) == outcome(never)
    assert [step for step, _ in measurements(never)] == [0, 4, 8, 12]
    assert len({len(rows) for rows in rows_by_step(never)}) > 1, "B changed"


def rows_by_step(result) -> list[list[int]]:
    picks = pq.read_table(result.training_dir / "picks.parquet").to_pandas()
    return [rows.tolist() for _, rows in picks.groupby("step")["row"]]


def test_nothing_is_measured_twice_where_a_run_goes_on_within_a_window(make_job, given, monkeypatch):
    given(MEASURED)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 7)  # the state of 6 steps is the last, and knows of steps 0 and 4
        train(make_job(**BY_CACHE, checkpoint_every=6))
    seen = given([1.0])
    result = train(make_job(**BY_CACHE, checkpoint_every=6))
    assert len(seen) == 1 and measurements(result) == [(0, 0.0), (4, 1.0), (8, 1.0)]


def test_micro_batches_choose_the_same(make_job):
    one, cut = (train(make_job(**BY_CACHE, state=f"{n}", accumulate=n)) for n in (1, 3))
    assert picks_of(one) == picks_of(cut)


def test_one_and_two_ranks_make_the_same_run(make_job, tmp_path):
    how = BY_LEARNER | {"state": "one"}
    alone, weights = trained(make_job, how)
    result, moved = in_ranks(2, trained, tmp_path / "2", make_job, how | {"state": "two"})[0]
    assert picks_of(result) == picks_of(alone) and measurements(result) == measurements(alone)
    for name in ("samples_scored", "samples_measured", "flops_as_executed"):
        assert ledger_of(result)[name] == ledger_of(alone)[name], name
    assert_close(moved, weights)


def test_a_run_without_it_has_the_hash_of_before_and_one_with_it_another(make_job):
    plain, follows = make_job(criterion="easy_reference"), make_job(**BY_CACHE)
    assert "adapt" not in plain.full_identity["selection"]
    rarely = make_job(criterion="easy_reference", adapt=AdaptSettings(every=5, sample=6, power=2.0))
    assert len({job.run_hash for job in (plain, follows, rarely)}) == 3


def test_shares_become_sizes():
    assert smoothed([0.0, 1.0, 1.0]) == pytest.approx([0.0, 0.3, 0.51])
    selection = SelectionSettings("joint", 0.95, "easy_reference", adapt=AdaptSettings(power=2.0))
    parts = windows_of(selection, 64, Looks([0.0, 0.4, 1.0]))  # smoothed to 0, 0.12 and 0.384
    assert [(part.first, part.last, part.steps) for part in parts] == [(1_280, 1_280, 50)] * 2 + [(434, 434, 50)]
    assert [AdaptSettings(power=2.0).size(share, 64, 1_280) for share in (0.0, 0.2, 0.5, 0.9, 1.0)] == [
        1_280,
        1_280,
        256,
        79,
        64,
    ]


def test_places_that_are_left_out_are_skipped():
    aside = np.array([0, 3, 4, 9])
    assert skipping(np.arange(6), aside).tolist() == [1, 2, 5, 6, 7, 8]


@pytest.mark.parametrize("in_use", [None, np.array([2, 4, 5, 6, 7, 8, 11])])
def test_positions_behind_those_that_are_drawn_from_are_all_rows_in_use(in_use):
    """In their old order: where neighbours are read together, those that were left out are between theirs."""
    source = Source({"field": range(7)}, in_use, np.array([0, 3, 4]))
    rows = [1, 2, 5, 6, *range(7)] if in_use is None else [4, 5, 8, 11, *in_use.tolist()]
    assert source.manifest_rows(np.arange(11)).tolist() == rows
    assert source.manifest_rows(np.array([6, 0, 4])).tolist() == [rows[6], rows[0], rows[4]]


def test_rows_that_come_back_are_read_with_their_neighbours():
    """With a shuffle window a step's rows lie in two windows of 20 neighbours at most, before and after."""
    aside = np.arange(5, 200, 10)
    source = Source({"field": range(200)}, aside=aside)
    order = Order(0, 180, 10, 20).with_more(7, len(aside))
    for step in range(40):
        rows = np.sort(source.manifest_rows(order.rows(step)))
        gaps = np.diff(np.append(rows, rows[0] + 200))
        assert (gaps > 22).sum() <= 2, f"step {step}"
    assert sorted(np.concatenate([source.manifest_rows(order.rows(step)) for step in range(7, 27)])) == list(range(200))


def test_a_task_that_knows_no_pairs_says_so(make_job, monkeypatch):
    job = make_job(**BY_CACHE)
    monkeypatch.delattr(type(job.task), "sides")
    with pytest.raises(
        UserError, match=r"^selection\.adapt: needs to know how well the two sides of a pair match, and this task does"
    ):
        train(job)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: SelectionSettings(adapt=ADAPT), "selection.adapt: with method: uniform nothing is chosen"),
        (lambda: SelectionSettings("joint", adapt=ADAPT, final_filter_ratio=0.0), "selection.final_filter_ratio: sets how f changes during the run"),
        (lambda: SelectionSettings("joint", adapt=ADAPT, final_filter_ratio=0.0, falls_over=0.5), "selection.final_filter_ratio: sets how f"),
        (lambda: SelectionSettings("joint", adapt=ADAPT, then=ThenSettings()), "selection.then.after: sets how f changes during the run, and so does selection.adapt; set it to null"),
        (lambda: SelectionSettings("joint", adapt=ADAPT, stale_steps=1), "selection.stale_steps: batches cannot be chosen ahead over"),
        (lambda: AdaptSettings(sample=1), "adapt.sample: 1 pairs are too few"),
        (lambda: AdaptSettings(power=0), "adapt.power: 0 is too small"),
        (lambda: rows_aside(SelectionSettings("joint", adapt=ADAPT), 19, 0), "selection.adapt: measures on at most a tenth of the rows in use"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_one_line(make, line):
    with pytest.raises(UserError) as caught:
        make()
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)
