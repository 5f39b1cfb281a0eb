"""A run that waits no longer for a better value: it ends early, its best checkpoint is the result, and a kill changes nothing."""

from __future__ import annotations

import json
from typing import Any

import pyarrow.parquet as pq
import pytest

from superbatch.errors import UserError
from superbatch.options import TrainingSettings
from superbatch.training import TrainResult, loop, train
from tests.in_ranks import in_ranks
from tests.training.training_helpers import Killed, kill_after, outcome

VALUES = [
    0.1,
    0.2,
    0.5,
    0.3,
    0.5,
    0.4,
    0.9,
]  # after 0, 2, 4, ... steps: best after 4, three evaluations without a better one after 10
HOW = {"evaluate_every": 2, "keep_best": "set/top1", "patience": 3}


@pytest.fixture
def waiting(make_job, monkeypatch):
    """A function that makes the job; its evaluations are those of `VALUES`."""
    at, real = [0], loop._evaluate

    def evaluating(run, done):
        at[0] = done
        real(run, done)

    monkeypatch.setattr(loop, "_evaluate", evaluating)

    def make(**changes: Any):
        job = make_job(**{**HOW, **changes})
        job.evaluate = lambda clip: {"set/top1": VALUES[at[0] // 2]}
        return job

    return make


def weights(result: TrainResult) -> str:
    said: str = json.loads((result.model_dir / "superbatch.json").read_text())["weights_sha256"]
    return said


def test_it_ends_after_so_many_evaluations_and_gives_its_best(waiting):
    result = train(waiting())
    summary = result.summary
    assert (summary["steps_taken"], summary["result_of_step"], summary["final"]) == (10, 4, {"set/top1": 0.5})
    assert pq.read_table(result.training_dir / "ledger.parquet").num_rows == 10
    kept = train(waiting(state="other", patience=0))
    assert weights(result) == summary["digests"]["weights"]
    best = json.loads((kept.model_dir / "best" / "superbatch.json").read_text())
    assert kept.summary["final"] == {"set/top1": 0.9} and best["steps"] == 12, "the same run, not ended"
    assert "result_of_step" not in kept.summary
    assert train(waiting(state="third", steps=4)).summary["steps_taken"] == 4, "patience never used up"


@pytest.mark.parametrize("steps", [5, 9])
def test_killed_before_its_end_it_ends_the_same(waiting, monkeypatch, steps):
    never = train(waiting(state="never"))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, steps)
        train(waiting())
    again = train(waiting())
    assert outcome(again) == outcome(never) and weights(again) == weights(never)


@pytest.mark.parametrize("checkpoint_every", [4, 5])
def test_killed_after_its_last_step_it_takes_no_other(waiting, monkeypatch, checkpoint_every):
    """Also where that step was to be saved anyway."""
    never = train(waiting(state="never"))

    def die(*arguments: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "finish", die)
        train(waiting(checkpoint_every=checkpoint_every))
    with monkeypatch.context() as patch:
        kill_after(patch, 0)
        assert outcome(train(waiting(checkpoint_every=checkpoint_every))) == outcome(never)


def test_a_damaged_best_checkpoint_is_refused(waiting, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 8)
        train(waiting())
    file = waiting().state_dir / "best" / "open_clip_model.safetensors"
    file.write_bytes(b"")
    with pytest.raises(UserError, match=r"best: the checkpoint of the best set/top1 is damaged; train it again with"):
        train(waiting())


def taken(make_job: Any) -> tuple[int, str]:
    summary = train(make_job(evaluate_every=1, keep_best="set/top1", patience=1)).summary
    return summary["steps_taken"], summary["digests"]["weights"]


def test_all_ranks_end_at_the_same_step(make_job, tmp_path):
    first, second = in_ranks(2, taken, tmp_path / "ranks", make_job)
    assert first == second and first[0] < 12


def test_patience_needs_a_metric():
    with pytest.raises(UserError, match=r"training.patience: waits 2 evaluations for a better value, but of no metric"):
        TrainingSettings(patience=2)


def test_within_the_tolerance_the_last_counts(waiting, monkeypatch):
    """Values 0.1, 0.2, 0.5, 0.3, 0.5, 0.4, 0.9: with 0.1 the one after 10 steps is as good as those before it, with 0.05 that after 8."""
    assert train(waiting(state="a", tolerance=0.05, steps=10)).summary["result_of_step"] == 8
    result = train(waiting(state="b", tolerance=0.1, steps=10))
    assert result.summary["result_of_step"] == 10 and result.summary["final"] == {"set/top1": 0.4}
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 9)
        train(waiting(tolerance=0.1, steps=10))
    assert outcome(train(waiting(tolerance=0.1, steps=10))) == outcome(result)
    assert waiting(tolerance=0.1).run_hash != waiting().run_hash
