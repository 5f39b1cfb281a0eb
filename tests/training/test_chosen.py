"""Where the reference alone chooses, nothing but the chosen is read, and they are the same as ever."""

from __future__ import annotations

import os
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from superbatch.data.fields import Stored
from superbatch.errors import UserError
from superbatch.selection import PairEmbeddings, select_jointly
from superbatch.tasks.contrastive import CACHED, IMAGE
from superbatch.training import Job, train
from superbatch.training.plan import PROBE
from tests.in_ranks import in_ranks
from tests.training.training_helpers import Killed, kill_after, outcome


@pytest.fixture
def easy(make_job):
    return lambda **changes: make_job(criterion="easy_reference", **changes)


def expected_rows(job: Job, step: int) -> list[int]:
    """The rows of a step, by the public function and the cache."""
    rows = job.order.rows(step)
    images, texts = (torch.from_numpy(job.source.fields[name].read(rows, step)) for name in CACHED)
    pairs = PairEmbeddings(images, texts, job.task.reference.scale, job.task.reference.bias)
    how = {"num_chunks": 2, "gain": 10.0, "criterion": "easy_reference", "step": step, "rows": torch.from_numpy(rows)}
    return rows[select_jointly(None, pairs, 4, **how).indices].tolist()


@pytest.mark.parametrize("final", [None, 0.0, 0.9])
def test_only_the_chosen_are_read_and_they_are_those_of_the_cache(easy, final):
    job, read = easy(final=final), []
    images = job.source.fields[IMAGE]
    job.source.fields[IMAGE] = Stored(lambda rows: (read.extend(rows), images.read(rows, 0))[1], len(images))
    table = pq.read_table(train(job).training_dir / "picks.parquet").to_pandas()
    chosen = table[table.chosen]
    for step in range(12):
        assert chosen[chosen.step == step].row.tolist() == expected_rows(job, step)
    timed = min(PROBE, job.order.size(0))
    assert read[timed:] == chosen.row.tolist(), "what is read, after the samples that tell the run's length"


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(easy, workers):
    assert outcome(train(easy(state="a"))) == outcome(train(easy(state="b", workers=workers)))


def test_the_super_batch_shrinks_by_one_factor_a_step(make_job):
    result = train(make_job(final=0.0))  # scored by the learner, so that the ledger counts what was looked at
    scored = pq.read_table(result.training_dir / "ledger.parquet")["samples_scored"].to_numpy()
    sizes = np.diff(scored, prepend=0)
    assert sizes.tolist() == [round(16 * 0.25 ** (step / 11)) for step in range(12)]
    plan = result.summary["plan"]
    assert (plan["super_batch_size"], plan["last_super_batch_size"]) == (16, 4)
    assert plan["flops_as_executed"] == pytest.approx(result.summary["flops"]["as_executed_total"])


@pytest.mark.parametrize("workers", [0, 1])
def test_killed_and_continued_is_never_killed(easy, monkeypatch, workers):
    easy = partial(easy, final=0.0)
    never = outcome(train(easy(state="never")))
    for steps in (5, 3):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, steps)
            train(easy(workers=workers))
    assert outcome(train(easy(workers=workers))) == never


def picks_of(make_job, criterion: str, spoilt: int | None = None) -> list[int] | str:
    """The chosen rows of a run, or the error; where a rank is named, its cache has other embeddings."""
    job = make_job(criterion=criterion)
    if os.environ.get("RANK") == str(spoilt):
        name = CACHED[0]
        other = -job.source.fields[name].read(np.arange(60), 0)
        job.source.fields[name] = Stored(other.__getitem__, 60)
    try:
        table = pq.read_table(train(job).training_dir / "picks.parquet")
    except UserError as error:
        return str(error)
    return table.filter(table["chosen"])["row"].to_pylist()


def test_a_rank_whose_cache_differs_is_found_at_the_first_step(make_job, tmp_path):
    for said in in_ranks(3, picks_of, tmp_path / "ranks", make_job, "easy_reference", 1):
        assert said.startswith("embeddings: ranks chose different rows at step 0 ")
        assert said.endswith("give every machine the same data/04_feature, or run the embed stage again")
