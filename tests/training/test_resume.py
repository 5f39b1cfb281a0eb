"""A run that is killed and continued is the run that was never killed, bit for bit; also when killed twice."""

from __future__ import annotations

import itertools
import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_helpers import Killed, kill_after, outcome

from superbatch.artifacts.atomic import write_json
from superbatch.errors import UserError
from superbatch.tasks import Contrastive
from superbatch.training import distributed, resume_from, state, train
from superbatch.training import job as job_module
from superbatch.training.random_state import seed_step
from superbatch.training.resume_from import take_state_from
from superbatch.training.state import list_states
from tests.in_ranks import in_ranks

CPU = torch.device("cpu")


NEVER_KILLED: dict[str, dict] = {}  # outcomes by method, each trained once


KILLS = ([1], [6], [5, 3], [9, 1])
ALWAYS = [
    ("uniform", [6]),
    ("independent", [9, 1]),
    ("joint", [1]),
    ("joint", [5, 3]),
]  # each method, each way to be killed


@pytest.mark.parametrize(
    ("method", "kills"),
    [
        pytest.param(*how, marks=() if how in ALWAYS else pytest.mark.slow)
        for how in itertools.product(("uniform", "independent", "joint"), KILLS)
    ],
)
def test_killed_and_resumed_is_bit_identical(make_job, monkeypatch, method, kills):
    if method not in NEVER_KILLED:
        NEVER_KILLED[method] = outcome(train(make_job(method, state="never-killed")))
    expected = NEVER_KILLED[method]
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
    assert caplog.text.count("starts from scratch") == 2


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


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A state folder with two checkpoints and records, and a leftover."""
    folder = tmp_path / "elsewhere"
    for name in ("records", "step-000000004", "step-000000008", ".step-000000012.x.tmp"):
        (folder / name).mkdir(parents=True)
        (folder / name / "content").write_text(name)
    write_json(folder / "identity.json", {"seed": 1})
    return folder


def test_resume_from_a_folder_without_checkpoints_is_refused(elsewhere, tmp_path):
    """The run would start from scratch in silence."""
    for kept in list_states(elsewhere):
        shutil.rmtree(kept)
    with pytest.raises(UserError, match=r"elsewhere: has no checkpoint: .*; name another folder, or leave it out"):
        take_state_from(elsewhere, tmp_path / "own", {"seed": 1})
    (tmp_path / "own" / "step-000000004").mkdir(parents=True)
    take_state_from(elsewhere, tmp_path / "own", {"seed": 1})  # its own is taken


@pytest.mark.parametrize("copies", range(4))
def test_a_copy_that_is_killed_is_made_again_or_has_the_newest_state(elsewhere, tmp_path, monkeypatch, copies):
    own, left, whole = tmp_path / "own", [copies], shutil.copytree

    def dying(source: Path, target: Path, **how: bool) -> None:
        if not left[0]:
            (target / "content").write_text("half")
            raise Killed
        left[0] -= 1
        whole(source, target, **how)

    with monkeypatch.context() as patch:
        patch.setattr(resume_from.shutil, "copytree", dying)
        with pytest.raises(Killed) if copies < 3 else nullcontext():
            take_state_from(elsewhere, own, {"seed": 1})
    states = [path.name for path in list_states(own)]
    assert states == [[], [], ["step-000000008"], ["step-000000004", "step-000000008"]][copies]
    take_state_from(elsewhere, own, {"seed": 1})
    assert list_states(own)[-1].name == "step-000000008" and not list(own.glob(".*"))
    for found in [own / "records", *list_states(own)]:
        assert (found / "content").read_text() == found.name


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
    for criterion in ("learnability", "easy_reference"):
        with pytest.raises(UserError, match="needs the reference's embeddings"):
            Contrastive(job.task.clip, job.training, replace(job.selection, criterion=criterion))
    Contrastive(job.task.clip, job.training, replace(job.selection, criterion="hard_learner"))
    job.super_batch_size = 61
    with pytest.raises(UserError, match="61.*60"):
        train(job)


# What a model draws (dropout)


@pytest.fixture
def dropping(make_job, model_file):
    """A function that makes a job whose image tower drops patches, so that the random state counts."""
    config = json.loads(model_file.read_text())
    config["model_cfg"]["vision_cfg"] |= {"patch_size": 4, "patch_dropout": 0.5}
    model_file.write_text(json.dumps(config))
    return make_job


def weights_of(dropping, changes: dict) -> str:
    return train(dropping(**changes)).summary["digests"]["weights"]


def killed_and_resumed(dropping, changes: dict, steps: int) -> str:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, steps)
        train(dropping(**changes))
    return "killed"


def test_dropout_draws(dropping):
    """Else the tests below would show nothing."""
    job = dropping()
    job.task.place(torch.device("cpu"), job.training)
    batch = job.source.read(job.task.reads.training, np.arange(4), 0)
    job.task.clip.model.train()
    first, second = (job.task.outputs("learner", batch)["image"] for _ in range(2))
    assert not torch.equal(first, second)


def test_evaluation_and_the_best_checkpoint_change_nothing(dropping):
    """Both build the whole vocabulary's embedding; whatever they draw is not the run's."""
    seldom = weights_of(dropping, {"state": "a", "evaluate_every": 100})
    often = {"state": "b", "evaluate_every": 1, "keep_best": "set/top1"}
    assert weights_of(dropping, often) == seldom

    def drawing(clip) -> dict[str, float]:
        return {"set/top1": float(torch.rand(3).sum())}

    job = dropping(state="c", evaluate_every=2)
    job.evaluate = drawing
    assert train(job).summary["digests"]["weights"] == seldom


PAIRWISE = {
    (1, None, 1),
    (1, "set/top1", 2),
    (2, None, 2),
    (2, "set/top1", 1),
}  # every two settings meet in one of them


@pytest.mark.parametrize(
    ("world", "keep_best", "accumulate"),
    [
        pytest.param(*how, marks=() if how in PAIRWISE else pytest.mark.slow)
        for how in itertools.product((1, 2), (None, "set/top1"), (1, 2))
    ],
)
def test_dropout_is_resumed_bit_identically(dropping, tmp_path, world, keep_best, accumulate):
    how = {"keep_best": keep_best, "accumulate": accumulate, "evaluate_every": 3}
    if world == 1:
        expected = weights_of(dropping, how | {"state": "never"})
        for steps in (6, 3):
            killed_and_resumed(dropping, how, steps)
        assert weights_of(dropping, how) == expected
        return
    expected = in_ranks(world, weights_of, tmp_path / "never", dropping, how | {"state": "never"})
    for number, steps in enumerate((6, 3)):
        in_ranks(world, killed_and_resumed, tmp_path / f"kill{number}", dropping, how, steps)
    assert in_ranks(world, weights_of, tmp_path / "end", dropping, how) == expected


def masks(world: int) -> list[float]:
    ranks = distributed.ranks_here()
    seed_step(0, 3, ranks.rank, CPU)
    return torch.rand(4).tolist()


def test_ranks_drop_differently_and_a_step_alike_each_time(tmp_path):
    first, second = in_ranks(2, masks, tmp_path / "ranks", 2)
    assert first != second
    seed_step(0, 3, 1, CPU)
    assert torch.rand(4).tolist() == second
    seed_step(0, 4, 1, CPU)
    assert torch.rand(4).tolist() != second


def test_a_state_of_another_machine_is_told(make_job, monkeypatch, caplog):
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 6)
        patch.setattr(state, "machine", lambda: "another CPU, 99 threads")
        train(make_job())
    train(make_job())
    assert "its state of step 4 was made on another CPU, 99 threads, this is " in caplog.text
    assert "the bits may differ" in caplog.text


def test_a_gpus_run_has_a_hash_of_its_own(make_job, monkeypatch):
    """Device and precision as they come out, where they are not a CPU's."""
    usual, explicit = make_job().run_hash, make_job(device="cpu").run_hash
    monkeypatch.setattr(job_module, "pick_device", lambda name: torch.device("cuda"))
    on_gpu = make_job()
    assert on_gpu.full_identity["training"]["device"] == "cuda"
    assert on_gpu.full_identity["training"]["precision"] == "bf16"
    assert len({usual, explicit, on_gpu.run_hash}) == 3
    assert make_job(device="cuda").run_hash == on_gpu.run_hash == make_job(precision="bf16").run_hash
