"""A run that begins with few of its rows: what it trains on, and that kills and ranks change nothing."""

from __future__ import annotations

import logging
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest

from superbatch.data.order import Growth, places_of_joining
from superbatch.errors import UserError
from superbatch.options import AdaptSettings, LearnerSettings, MoclrSettings, ReferenceSettings, TrainingSettings
from superbatch.reporting.families import tuned_words
from superbatch.reporting.runs import Run
from superbatch.training import train
from tests.in_ranks import in_ranks
from tests.training.test_ranks import assert_close, trained
from tests.training.training_helpers import Killed, kill_after, outcome

RARE = {"first_share": 0.1, "first_by": "rarity"}
HOW = {"method": "uniform", "steps": 12, "first_share": 0.3, "grows_over": 0.5}


def test_it_trains_on_the_rows_that_have_joined(make_job, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    job = make_job(**HOW)
    seen, real = [], type(job.task).loss

    def noting(task, model, outputs, batch, peers):
        seen.append(sorted(batch.rows.tolist()))
        return real(task, model, outputs, batch, peers)

    monkeypatch.setattr(type(job.task), "loss", noting)
    result = train(job)
    assert job.order.growth == Growth(0.3, 6)
    assert seen == [sorted(job.order.rows(step).tolist()) for step in range(12)]
    run = Run(result.training_dir.parent)
    assert run.order(job.source.num_rows) == job.order, "and a report knows them again"
    assert run.role == "simple" and "30 % of the rows first, all after 50 %" in tuned_words(run)
    assert "no selection, from 18 rows at first and from all of them from step 6 on; " in caplog.text


CHOOSING = {
    "joint": {"method": "joint"},
    "f falls": {"method": "joint", "criterion": "easy_reference", "final": 0.0, "over": 0.5},
    "f follows the learner": {
        "method": "joint",
        "criterion": "easy_reference",
        "adapt": AdaptSettings(every=3, sample=10, power=1.0),
    },
}


@pytest.mark.parametrize("how", CHOOSING.values(), ids=CHOOSING)
def test_a_selection_chooses_from_the_rows_that_have_joined(make_job, how):
    job = make_job(**HOW | how)
    picks = train(job).training_dir / "picks.parquet"
    table = pq.read_table(picks).to_pandas()
    places = {int(row): place for place, row in enumerate(job.source.manifest_rows(np.arange(job.source.num_rows)))}
    joins = {place: when for when, place in enumerate(places_of_joining(job.source.num_rows, job.training.seed))}
    growth, largest = job.order.growth, job.super_batch_size
    for step, rows in table.groupby("step")["row"]:
        limit = growth.rows_in(step, job.source.num_rows, largest) if step < growth.steps else job.source.num_rows
        assert max(joins[places[row]] for row in rows) < limit
    first = table[table["step"] == 0]
    assert first["chosen"].sum() == job.training.batch_size


@pytest.mark.parametrize("how", [{}, *CHOOSING.values()], ids=["uniform", *CHOOSING])
def test_killed_while_rows_join_and_later_is_never_killed(make_job, monkeypatch, how):
    never = train(make_job(**HOW | how, state="never"))
    again = partial(make_job, **HOW | how, state="killed", checkpoint_every=2)
    for steps in (3, 4):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, steps)
            train(again())
    assert outcome(train(again(workers=1))) == outcome(never)


def test_one_and_two_ranks_make_the_same_run(make_job, tmp_path):
    _, weights = trained(make_job, HOW | {"state": "one"})
    _, moved = in_ranks(2, trained, tmp_path / "2", make_job, HOW | {"state": "two"})[0]
    assert_close(moved, weights)


def test_a_run_that_begins_with_all_has_the_hash_of_before(make_job):
    plain = make_job(method="uniform")
    assert not {"first_share", "grows_over", "first_by"} & plain.full_identity["training"].keys()
    assert make_job(method="uniform", first_share=0.5).run_hash != plain.run_hash


def test_only_runs_that_last_into_the_fifth_epoch_are_named_anew(make_job):
    """Their order was another one before."""
    usual = {"method": "uniform", "first_share": 0.5, "grows_over": 0.5}
    per_epoch = make_job(**usual).order.steps_per_epoch
    short, long = (make_job(**usual, steps=2 * 4 * per_epoch + more) for more in (0, 2))
    assert "order" not in short.full_identity and long.full_identity["order"] == 2
    assert "order" not in make_job(method="uniform", steps=long.training.steps).full_identity


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: TrainingSettings(first_share=0.0), "training.first_share: 0 is not a share of the rows"),
        (lambda: TrainingSettings(first_share=0.1, shuffle_window=100), "training.first_share: draws rows from all over the set"),
        (lambda: TrainingSettings(first_by="rarity"), "training.first_by: rarity says which rows come first, and all are there from the start"),
        (lambda: TrainingSettings(first_share=0.1, first_by="length"), "training.first_by: "),
        (lambda: LearnerSettings(moclr=MoclrSettings(), training=TrainingSettings(loss="softmax", **RARE)), "training.first_by: rarity goes by captions"),
        (lambda: ReferenceSettings(training=TrainingSettings(**RARE)), "training.first_by: is for learners"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_one_line(make, line):
    with pytest.raises(UserError) as caught:
        make()
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)
