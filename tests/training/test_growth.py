"""A run that begins with few of its rows: what it trains on, and that kills and ranks change nothing."""

from __future__ import annotations

import logging
from functools import partial

import pytest

from superbatch.data.order import Growth
from superbatch.errors import UserError
from superbatch.options import LearnerSettings, MoclrSettings, ReferenceSettings, SelectionSettings, TrainingSettings
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


def test_killed_while_rows_join_and_later_is_never_killed(make_job, monkeypatch):
    never = train(make_job(**HOW, state="never"))
    again = partial(make_job, **HOW, state="killed", checkpoint_every=2)
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


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: TrainingSettings(first_share=0.0), "training.first_share: 0 is not a share of the rows"),
        (lambda: TrainingSettings(first_share=0.1, shuffle_window=100), "training.first_share: draws rows from all over the set"),
        (lambda: LearnerSettings(selection=SelectionSettings("joint"), training=TrainingSettings(first_share=0.1)), "training.first_share: begins with few rows, and so does a selection"),
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
