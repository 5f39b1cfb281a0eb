"""ActiveCLIP's score, how well a pair's sides match: against float64, and through the real engine with a proxy that scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from test_ranks import assert_close, picks_of, trained
from training_helpers import Killed, kill_after, outcome

from superbatch.errors import UserError
from superbatch.options import LearnerSettings, SelectionSettings
from superbatch.tasks.contrastive import CACHED
from superbatch.training import train
from superbatch.training.choosing import score
from tests.in_ranks import in_ranks


@pytest.fixture
def make_match(make_job, proxy_file):
    """Return a function that makes the tests' usual job, scored by matches of a proxy."""

    def make(criterion: str = "learnability", with_proxy: bool = True, **changes):
        scores = criterion != "easy_reference"
        job = make_job(
            "independent", criterion=criterion, proxy=proxy_file if with_proxy and scores else None, **changes
        )
        job.selection = job.task.selection = replace(job.selection, score="match")
        return job

    return make


@pytest.mark.parametrize("with_proxy", [True, False])
@pytest.mark.parametrize("criterion", ["learnability", "easy_reference", "hard_learner", "easy_learner"])
def test_scores_are_the_differences_of_cosines(make_match, criterion, with_proxy):
    """A model's loss of a pair is minus its cosine, whatever its temperature."""
    job = make_match(criterion, with_proxy)
    job.task.place(torch.device("cpu"), job.training)
    rule = job.selection.rules[0]
    batch = job.source.read(job.task.reads_by(rule).scoring, np.arange(16), 0)
    found = score(job.task, batch, rule, 5)
    easy = -(batch[CACHED[0]].double() * batch[CACHED[1]].double()).sum(1) if rule.uses_reference else None
    loss = None
    if rule.scores:
        with torch.no_grad():
            image, text = job.task.scoring_sides(batch)
        loss = -(image.double() * text.double()).sum(1)
    expected = {
        "learnability": lambda: loss - easy, "easy_reference": lambda: -easy,
        "hard_learner": lambda: loss, "easy_learner": lambda: -loss,
    }[criterion]()  # fmt: skip
    torch.testing.assert_close(found.values_n.double(), expected, rtol=0, atol=1e-6)


def test_the_picks_are_a_draw_by_these_scores(make_match):
    picks = pq.read_table(train(make_match(steps=40)).training_dir / "picks.parquet").to_pandas()
    assert picks.groupby("step").chosen.sum().eq(4).all()
    assert picks[picks.chosen].score.mean() > picks[~picks.chosen].score.mean() + 0.05


def test_killed_and_resumed_is_bit_identical(make_match, monkeypatch):
    expected = outcome(train(make_match(state="never")))
    for steps in (5, 3):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, steps)
            train(make_match())
    assert outcome(train(make_match())) == expected


@pytest.mark.parametrize("criterion", ["learnability", "easy_reference"])
def test_ranks_pick_as_one_process(make_match, tmp_path, criterion):
    alone, expected = trained(make_match, {"criterion": criterion, "state": "one"})
    for result, moved in in_ranks(2, trained, tmp_path / "ranks", make_match, {"criterion": criterion, "state": "two"}):
        assert picks_of(result) == picks_of(alone)
        assert_close(moved, expected)


def test_joint_selection_by_matches_is_one_line():
    with pytest.raises(
        UserError, match="selection.score: match scores each pair by itself, and method: joint does not"
    ):
        SelectionSettings("joint", score="match")
    assert LearnerSettings(selection=SelectionSettings("independent", score="match")).uses_reference


def test_scoring_by_losses_has_the_hash_that_it_had(make_job, make_match):
    before = make_job("independent")
    assert before.run_hash != make_match(with_proxy=False).run_hash
    same = replace(before, selection=replace(before.selection, score="loss"))
    assert same.run_hash == before.run_hash
