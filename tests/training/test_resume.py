"""A run that is killed and continued is the run that was never killed, bit for bit; also when killed twice."""

from __future__ import annotations

import json
import shutil

import pytest
from training_helpers import Killed, kill_after, outcome

from superbatch.errors import UserError
from superbatch.training import train
from superbatch.training.state import list_states


@pytest.mark.parametrize("method", ["uniform", "independent", "joint"])
@pytest.mark.parametrize("kills", [[1], [6], [5, 3], [9, 1]])
def test_killed_and_resumed_is_bit_identical(make_job, monkeypatch, method, kills):
    expected = outcome(train(make_job(method, state="never-killed")))
    for steps in kills:
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_after(patch, steps)
            train(make_job(method))
    assert outcome(train(make_job(method))) == expected
    steps = expected["ledger"]["step"]
    assert steps == list(range(12)), "no step is there twice or missing"


def test_the_same_seed_is_the_same_run_and_another_is_not(make_job):
    first, second = train(make_job(state="a")), train(make_job(state="b"))
    other = train(make_job(state="c", seed=1))
    assert outcome(first) == outcome(second)
    assert first.summary["digests"]["picks"] != other.summary["digests"]["picks"]


def test_loader_workers_do_not_change_the_run(make_job):
    assert outcome(train(make_job(state="a"))) == outcome(train(make_job(state="b", workers=2)))


def test_a_damaged_state_falls_back_to_the_one_before(make_job, monkeypatch, caplog):
    expected = outcome(train(make_job(state="never-killed")))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 10)
        train(make_job())
    newest = list_states(make_job().state_dir)[-1]
    (newest / "model.safetensors").write_bytes(b"not safetensors")
    assert outcome(train(make_job())) == expected
    assert "falling back" in caplog.text


def test_changed_settings_start_afresh(make_job, caplog):
    caplog.set_level("INFO")
    first, second = make_job(), make_job(seed=5)
    assert first.run_hash != second.run_hash
    assert make_job(workers=2).run_hash == first.run_hash, "how a run is carried out is not what it is"
    train(first)
    train(second)
    assert caplog.text.count("starts afresh") == 2


def test_resume_from_another_run_is_refused_naming_what_differs(make_job):
    other = make_job(seed=5)
    train(other)
    with pytest.raises(UserError, match=r"training\.seed is 5 there and 0 here"):
        train(make_job(resume_from=str(other.state_dir)))
    with pytest.raises(UserError, match="holds no training state"):
        train(make_job(resume_from=str(other.state_dir / "nothing")))


def test_resume_from_continues_a_state_that_lies_elsewhere(make_job, monkeypatch, caplog):
    expected = outcome(train(make_job(state="never-killed")))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 10)
        train(make_job(state="elsewhere"))
    caplog.set_level("INFO")
    assert outcome(train(make_job(resume_from=str(make_job(state="elsewhere").state_dir)))) == expected
    assert "continues at step 8" in caplog.text


def test_the_summary_tells_the_run(make_job):
    job = make_job()
    summary = train(job).summary
    assert summary["run_hash"] == job.run_hash and summary["status"] == "finished"
    assert summary["plan"]["super_batch_size"] == 16 and summary["plan"]["rows"] == 60
    assert summary["flops"]["as_executed_total"] > summary["flops"]["paper_total"] > 0
    assert "set/top1" in summary["final"]
    assert json.loads((job.state_dir / "training" / "run.json").read_text())["digests"] == summary["digests"]


def test_states_older_than_wanted_are_removed(make_job):
    job = make_job(keep_checkpoints=1)
    train(job)
    assert [path.name for path in list_states(job.state_dir)] == ["step-000000012"]
    shutil.rmtree(job.state_dir)


def test_selection_without_reference_or_with_too_large_a_super_batch_is_one_line(make_job):
    job = make_job()
    job.reference = None
    with pytest.raises(UserError, match="needs the reference's embeddings"):
        train(job)
    job = make_job()
    job.super_batch_size = 61
    with pytest.raises(UserError, match="61.*60"):
        train(job)
