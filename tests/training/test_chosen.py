"""Where the reference alone chooses, nothing but the chosen is read, and they are the same as ever."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from superbatch.data.order import Order
from superbatch.selection import PairEmbeddings, select_jointly
from superbatch.training import Job, train
from superbatch.training.chosen import ChosenRows
from superbatch.training.distributed import Ranks
from superbatch.training.loop import PROBE
from tests.training.training_helpers import Killed, kill_after, outcome


@pytest.fixture
def easy(make_job):
    return lambda **changes: make_job(criterion="easy_reference", **changes)


def expected_rows(job: Job, step: int) -> list[int]:
    """The rows of a step, by the public function and the cache."""
    order = Order(job.training.seed, job.source.num_rows, job.super_batch_size)
    rows = order.rows(step)
    images, texts = map(torch.from_numpy, job.reference.embeddings.rows(rows))
    pairs = PairEmbeddings(images, texts, job.reference.scale, job.reference.bias)
    how = {"num_chunks": 2, "gain": 10.0, "criterion": "easy_reference", "step": step, "rows": torch.from_numpy(rows)}
    return rows[select_jointly(None, pairs, 4, **how).indices].tolist()


def test_only_the_chosen_are_read_and_they_are_those_of_the_cache(easy, monkeypatch):
    job, read = easy(), []
    pixels = job.source.pixels
    monkeypatch.setattr(type(pixels), "read", lambda self, rows: (read.extend(rows), self.images[rows])[1])
    table = pq.read_table(train(job).training_dir / "picks.parquet").to_pandas()
    chosen = table[table.chosen]
    for step in range(12):
        assert chosen[chosen.step == step].row.tolist() == expected_rows(job, step)
    timed = min(PROBE, job.super_batch_size)
    assert read[timed:] == chosen.row.tolist(), "what is read, after the samples that tell the run's length"


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(easy, workers):
    assert outcome(train(easy(state="a"))) == outcome(train(easy(state="b", workers=workers)))


@pytest.mark.parametrize("workers", [0, 1])
def test_killed_and_continued_is_never_killed(easy, monkeypatch, workers):
    never = outcome(train(easy(state="never")))
    for steps in (5, 3):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, steps)
            train(easy(workers=workers))
    assert outcome(train(easy(workers=workers))) == never


def test_shares_of_ranks_are_the_chosen_lined_up_by_place_and_each_is_chosen_once(easy):
    job, asked = easy(), []
    order = Order(0, 60, 16)

    def select(step: int, positions: np.ndarray):
        asked.append(step)
        images, texts = map(torch.from_numpy, job.reference.embeddings.rows(positions))
        pairs = PairEmbeddings(images, texts, 10.0, -1.0)
        return select_jointly(None, pairs, 7, criterion="easy_reference", step=step, rows=torch.from_numpy(positions))

    shares = [ChosenRows(order, select, 7, Ranks(rank, 3)) for rank in range(3)]
    together = np.concatenate([one.rows(2) for one in shares])
    for one in shares:
        assert np.array_equal(np.concatenate([one.rows(2, part, 2) for part in range(2)]), one.rows(2))
    assert asked == [2, 2, 2] and [one.batch_size for one in shares] == [2, 2, 3]
    positions, selection = shares[0].take(2)
    places = selection.indices.sort().values.numpy()
    assert np.array_equal(positions, order.rows(2))
    assert np.array_equal(together, order.rows(2)[places])
    with pytest.raises(KeyError):
        shares[0].take(2)
