"""A run that chooses by the reference first and by the learner itself then: one order, one ledger, and a kill anywhere changes nothing."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from superbatch.errors import UserError
from superbatch.models import evaluating
from superbatch.options import LearnerSettings, SelectionSettings, ThenSettings, TrainingSettings
from superbatch.selection import PairEmbeddings, select_jointly
from superbatch.tasks.contrastive import CACHED, IMAGE, TOKENS
from superbatch.training import Job, loop, train, watch
from superbatch.training.plan import describe
from tests.in_ranks import in_ranks
from tests.training.test_chosen import expected_rows
from tests.training.test_ranks import assert_close, ledger_of, picks_of, trained
from tests.training.test_scoring import noting_weights
from tests.training.training_helpers import Killed, kill_after, outcome

SWITCH = 6  # of 12 steps: B = 16 before, and from there on 8
THEN = ThenSettings(0.5, "easy_learner", 0.5)
HOW = {"criterion": "easy_reference", "then": THEN}


@pytest.fixture
def taught(make_job):
    return lambda **changes: make_job(**{**HOW, **changes})


def chosen_rows(result) -> list[list[int]]:
    table = pq.read_table(result.training_dir / "picks.parquet").to_pandas()
    return [part.row[part.chosen].tolist() for _, part in table.groupby("step")]


def chosen_by_the_learner(job: Job, step: int) -> list[int]:
    """The rows of a step, by the public function and the present weights."""
    rows = job.order.rows(step)
    batch = job.source.read((IMAGE, TOKENS), rows, step)
    with torch.no_grad(), evaluating(job.task.clip.model):
        learner = job.task.scores(batch, job.selection.rules[1]).learner
    pairs = PairEmbeddings(*learner.sides, learner.scale, learner.bias)
    how = {"num_chunks": 2, "gain": 10.0, "criterion": "easy_learner", "step": step, "rows": torch.from_numpy(rows)}
    return rows[select_jointly(pairs, None, 4, **how).indices].tolist()


def test_each_part_chooses_by_its_own_rule_and_only_scoring_is_counted_as_such(taught, caplog):
    caplog.set_level(logging.INFO)
    job = taught()
    with noting_weights([job.task.clip.model]) as seen:
        result = train(job)
    assert [job.order.size(step) for step in range(12)] == [16] * SWITCH + [8] * SWITCH
    for step, rows in enumerate(chosen_rows(result)):
        job.task.clip.model.load_state_dict(seen[step][0])
        assert rows == (expected_rows if step < SWITCH else chosen_by_the_learner)(job, step), f"step {step}"
    ledger, summary, plan = ledger_of(result), result.summary, result.summary["plan"]
    assert ledger["samples_scored"] == [0] * SWITCH + [8 * n for n in range(1, SWITCH + 1)]
    forward = summary["flops"]["forward_per_sample"]
    expected = [3 * 4 * forward] * SWITCH + [(3 * 4 + 8) * forward] * SWITCH
    assert np.diff(ledger["flops_as_executed"], prepend=0) == pytest.approx(expected)
    assert (plan["super_batch_size"], plan["last_super_batch_size"]) == (16, 8)
    assert plan["flops_as_executed"] == pytest.approx(summary["flops"]["as_executed_total"])
    said = (
        "picks b = 4 of B = 16 (joint, easy_reference, N = 2); from step 6 on of B = 8 (joint, easy_learner, N = 2); "
    )
    assert said in caplog.text


def test_the_time_left_counts_the_scoring_to_come(taught, monkeypatch, caplog):
    """Steps behind the switch take 20 / 12 as long as those before it, of which the first ones are timed."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(watch, "WORTH_A_LINE", 0.0)
    monkeypatch.setattr(watch, "_spent", lambda row: 24.0)
    monkeypatch.setattr(loop, "describe", lambda run: describe(run) | {"expected_seconds": 6 * 12.0 + 6 * 20.0})
    train(taught())
    assert "7 steps left take about 264 s at the measured rate, not 132 s" in caplog.text


def test_before_the_switch_the_chosen_alone_are_read(taught):
    job = taught()
    before, after = (job.task.reads_by(rule) for rule in job.selection.rules)
    assert (before.scoring, before.later, before.ahead) == (CACHED, (IMAGE, TOKENS), True)
    assert (after.scoring, after.later, after.ahead) == ((IMAGE, TOKENS), (), False)


def test_killed_before_at_and_after_the_switch_is_never_killed(taught, monkeypatch):
    never = outcome(train(taught(state="never")))
    for workers in (0, 1):
        again = partial(taught, state=f"{workers}", workers=workers, checkpoint_every=2)
        for steps in (5, 2, 4):  # in steps 5, 6 and 10: the states of 4, 6 and 10 steps are the last saved
            with monkeypatch.context() as patch, pytest.raises(Killed):
                kill_after(patch, steps)
                train(again())
        assert outcome(train(again())) == never


def test_an_f_that_has_settled_reads_whole_epochs_and_a_kill_changes_nothing(make_job, monkeypatch):
    """B falls from 16 to 4 over five of 15 steps; the ten left are batches of 4 that follow one another through the 40 rows and more."""
    falling = {"criterion": "easy_reference", "final": 0.0, "over": 1 / 3, "steps": 15}
    job = make_job(**falling)
    never = train(job)
    assert [job.order.size(step) for step in (0, 3, 4, 14)] == [16, 6, 4, 4]
    settled = chosen_rows(never)[5:]
    assert [sorted(rows) for rows in settled] == [sorted(job.order.rows(step).tolist()) for step in range(5, 15)]
    whole = job.source.num_rows // 4
    assert len({row for rows in settled[:whole] for row in rows}) == 4 * min(10, whole)
    again = partial(make_job, **falling, state="killed", checkpoint_every=3)
    for steps in (4, 5):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, steps)
            train(again())
    assert outcome(train(again())) == outcome(never)


def test_micro_batches_choose_the_same(taught):
    assert picks_of(train(taught(state="cut", accumulate=3))) == picks_of(train(taught()))


def test_one_two_and_three_ranks_make_the_same_run(make_job, tmp_path):
    alone, weights = trained(make_job, HOW | {"state": "one"})
    for world in (2, 3):
        everybody = in_ranks(world, trained, tmp_path / f"{world}", make_job, HOW | {"state": f"of {world}"})
        result = everybody[0][0]
        assert picks_of(result) == picks_of(alone)
        for name in ("step", "samples_scored", "samples_trained", "flops_as_executed"):
            assert ledger_of(result)[name] == ledger_of(alone)[name], name
        assert_close(everybody[0][1], weights)


def test_back_from_a_scoring_model_to_the_cache(make_job):
    """The other way round: reading ahead begins at the switch."""
    result = train(make_job(then=ThenSettings(0.25, "easy_reference", 0.75)))
    assert ledger_of(result)["samples_scored"] == [16, 32] + [48] * 10


def test_a_proxy_scores_where_a_model_does_and_is_trained_all_along(taught, proxy_file):
    result = train(taught(proxy=proxy_file))
    ledger, flops = ledger_of(result), result.summary["flops"]
    assert ledger["flops_scoring"][SWITCH - 1] == 0 < ledger["flops_proxy"][0]
    assert result.summary["plan"]["flops_saved_by_proxy"] == pytest.approx(flops["saved_by_proxy"])


def test_a_run_without_it_has_the_hash_of_before_and_one_with_it_another(make_job):
    plain, both = make_job(criterion="easy_reference"), make_job(**HOW)
    assert "then" not in plain.full_identity["selection"]
    later = make_job(criterion="easy_reference", then=replace(THEN, after=0.75))
    assert len({job.run_hash for job in (plain, both, later)}) == 3


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: SelectionSettings(then=THEN), "selection.then: with method: uniform nothing is chosen"),
        (lambda: SelectionSettings("joint", stale_steps=1, then=THEN), "selection.stale_steps: batches cannot be chosen ahead over"),
        (lambda: SelectionSettings("joint", falls_over=0.3), "selection.falls_over: 0.3, and f does not change; set"),
        (lambda: ThenSettings(after=1.0), "then.after: 1 is too large; use a value between 0 and 1"),
        (lambda: ThenSettings(filter_ratio=0), "then.filter_ratio: 0 is too small; use a value between 0 and 1"),
        (
            lambda: LearnerSettings(selection=SelectionSettings("joint", then=ThenSettings(0.01)), training=TrainingSettings(steps=9)),
            "selection.then.after: takes over at step 0 of 9: one of the two parts has no step",
        ),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_one_line(make, line):
    with pytest.raises(UserError) as caught:
        make()
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)
