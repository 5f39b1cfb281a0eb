"""Models cut over ranks: the run of whole models, each rank with its part of the memory, and continued by any number of ranks."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pyarrow.parquet as pq
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.multiprocessing import ProcessExitedException

from superbatch.errors import DiskFull, UserError
from superbatch.options import (
    AdaptSettings,
    FlexiSettings,
    LabelSettings,
    LearnerSettings,
    LowSettings,
    MoclrSettings,
    ModelSettings,
    OnlineReferenceSettings,
    ReferenceSettings,
    TrainingSettings,
    check_shard,
)
from superbatch.training import TrainResult, loop, sharding, train
from superbatch.training.choosing import _slices
from superbatch.training.distributed import Ranks, joined, ranks_here
from superbatch.training.gradients import BatchGradients
from superbatch.training.task import Task
from tests.in_ranks import in_ranks
from tests.training.training_helpers import outcome


def trained(make_job: Any, changes: dict[str, Any]) -> TrainResult:
    return train(make_job(**changes))


def in_two(folder: Path, make_job: Any, **changes: Any) -> TrainResult:
    return in_ranks(2, trained, folder, make_job, changes)[0]


def weights_of(result: TrainResult) -> dict[str, Tensor]:
    return load_file(result.model_dir / "open_clip_model.safetensors")


def assert_same_run(ours: TrainResult, theirs: TrainResult) -> None:
    """To the rounding of float32, which Adam makes larger step by step."""
    assert ours.summary["digests"]["picks"] == theirs.summary["digests"]["picks"]
    assert ours.summary["flops"] == theirs.summary["flops"]
    found, expected = (pq.read_table(one.training_dir / "ledger.parquet").to_pydict() for one in (ours, theirs))
    for name in ("loss", "gradient_norm", "scale", "bias", "loss_proxy", "loss_online_reference"):
        if expected.get(name, [None])[0] is not None:
            assert found[name][:2] == pytest.approx(expected[name][:2], rel=1e-5), name
            assert found[name] == pytest.approx(expected[name], rel=1e-3), name
    evaluated, wanted = (pq.read_table(one.training_dir / "evaluations.parquet").to_pydict() for one in (ours, theirs))
    assert evaluated["name"] == wanted["name"] and evaluated["value"] == pytest.approx(wanted["value"], rel=1e-3)
    assert {name: value.shape for name, value in weights_of(ours).items()} == {
        name: value.shape for name, value in weights_of(theirs).items()
    }
    moved, by = (torch.cat([w.flatten() for w in weights_of(one).values()]) for one in (ours, theirs))
    assert float((moved - by).norm() / by.norm()) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("how", ["chosen", "cut", "along", "adapted"])
def test_a_sharded_run_is_the_run_of_whole_models(make_job, tmp_path, proxy_file, how):
    """Each model by its own way into the step: scores, micro-batches, a second model on whole super-batches, and one rank's measurements."""
    small = ModelSettings(config=str(proxy_file))
    changes: dict[str, Any] = {
        "chosen": {"final": 0.5, "proxy": proxy_file, "keep_best": "set/top1", "score_batch": 3},
        "cut": {"method": "uniform", "accumulate": 2, "checkpoint_activations": True},
        "along": {"online": OnlineReferenceSettings(small), "precision": "bf16"},
        "adapted": {"adapt": AdaptSettings(every=4, sample=6, power=2.0)},
    }[how] | {"steps": 6}
    whole = in_two(tmp_path / "whole", make_job, **changes, state="whole")
    sharded = in_two(tmp_path / "sharded", make_job, **changes, state="sharded", shard=True)
    assert_same_run(sharded, whole)
    if how == "chosen":
        made, _, _ = open_clip.create_model_and_transforms(f"local-dir:{sharded.model_dir}")
        assert made.encode_image(torch.zeros(2, 3, 16, 16)).shape == (2, 16)
        assert (sharded.model_dir / "best" / "open_clip_model.safetensors").is_file()


def until_killed(make_job: Any, changes: dict[str, Any], step: int) -> None:
    """Be a rank of a run whose first one dies when all have written their parts of a step's state, which has no name yet."""
    real, ranks = sharding.save_shards, ranks_here()

    def dying(directory: Path, kept: Any) -> None:
        real(directory, kept)
        if f"{step:09d}" in str(directory):
            if ranks.is_first:
                os.kill(os.getpid(), signal.SIGKILL)
            dist.barrier()

    sharding.save_shards = dying
    train(make_job(**changes))


@pytest.mark.slow
def test_a_killed_sharded_run_is_continued_by_any_number_of_ranks(make_job, tmp_path):
    """By as many to the bit; the state that was being written is none."""
    whole = in_two(tmp_path / "never", make_job, shard=True, state="never killed")
    with pytest.raises(ProcessExitedException, match="SIGKILL"):
        in_ranks(2, until_killed, tmp_path / "killed", make_job, {"shard": True}, 8)
    state = make_job(shard=True).state_dir
    assert [path.name for path in state.glob("step-*")] == ["step-000000004"] and list(state.glob(".step-000000008*"))
    parts = [path.name for path in (state / "step-000000004" / "shards").iterdir()]
    assert len(parts) == 2 and all(name.endswith(".safetensors") for name in parts)
    for world in (1, 3):
        shutil.copytree(state, tmp_path / f"by {world}" / state.name)
        result = in_ranks(world, trained, tmp_path / f"{world}", make_job, {"shard": True, "state": f"by {world}"})[0]
        assert_same_run(result, whole)
    assert outcome(in_two(tmp_path / "again", make_job, shard=True)) == outcome(whole)
    assert not list(state.glob(".step-*"))


def on_a_full_disk(make_job: Any) -> str:
    real = sharding.HuggingFaceStorageWriter.write_data

    def failing(self: Any, *arguments: Any) -> Any:
        if ranks_here().rank == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, *arguments)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(DiskFull) as full:
        patch.setattr(sharding.HuggingFaceStorageWriter, "write_data", failing)
        train(make_job("uniform", shard=True, steps=4))
    return str(full.value)


def gathered(make_job: Any) -> list[dict[str, Tensor]]:
    """A cut model's state dict before its first step and behind one, by us and by torch."""
    with joined("cpu") as ranks:
        task = make_job().task
        sharding.Shards(task, ranks, torch.device("cpu"))
        model, found = task.models["learner"].module, []
        for _ in range(2):
            found.append(sharding._gathered(model))
            found.append(get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)))
            model.encode_image(torch.ones(2, 3, 16, 16)).sum().backward()
        return [{name: value.detach() for name, value in one.items()} for one in found]


@pytest.mark.slow
def test_weights_are_put_together_as_torch_does(make_job, tmp_path):
    for of_rank in in_ranks(2, gathered, tmp_path / "ranks", make_job):
        for ours, theirs in zip(of_rank[::2], of_rank[1::2], strict=True):
            assert list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
def test_a_full_disk_of_one_rank_is_one_line_on_all(make_job, tmp_path):
    said = in_ranks(2, on_a_full_disk, tmp_path / "ranks", make_job)
    assert all("step-000000004" in line and "\n" not in line for line in said)
    assert not list(make_job("uniform", shard=True, steps=4).state_dir.glob("*step-*"))


def local_bytes(tensor: Tensor | None) -> int:
    """What of a tensor a rank holds."""
    return 0 if tensor is None else getattr(tensor, "_local_tensor", tensor).nbytes


def held(make_job: Any, changes: dict[str, Any]) -> list[int]:
    """Bytes of gradients that a rank holds within a step, and of parameters and moments behind it."""
    found: dict[str, int] = {}
    bound, real = BatchGradients.bound, loop.train_step

    def looking(self: BatchGradients, limit: float) -> Tensor:
        found["gradients"] = sum(local_bytes(p.grad) for p in self.task.models[self.name].module.parameters())
        return bound(self, limit)

    def stepping(task: Task, trained: Any, *arguments: Any) -> Any:
        result = real(task, trained, *arguments)
        (one,) = trained
        moments = [value for state in one.optimizer.state.values() for value in state.values()]
        found["rest"] = sum(map(local_bytes, [*one.module.parameters(), *moments]))
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BatchGradients, "bound", looking)
        patch.setattr(loop, "train_step", stepping)
        train(make_job(**changes))
    return list(found.values())


@pytest.mark.slow
def test_a_rank_holds_its_part_alone(make_job, tmp_path):
    alone = held(make_job, {"method": "uniform", "steps": 2, "state": "whole"})
    for world in (2, 3):
        changes = {"method": "uniform", "steps": 2, "state": f"of {world}", "shard": True}
        for rank in in_ranks(world, held, tmp_path / f"{world}", make_job, changes):
            for mine, whole in zip(rank, alone, strict=True):
                assert mine == pytest.approx(whole / world, rel=0.05)


class Asked(Exception):
    """What torch was asked for, where it is not there."""


def asked(*arguments: Any, **options: Any) -> None:
    raise Asked(arguments)


def test_models_are_cut_over_gpus_where_they_lie_on_some(make_job, monkeypatch):
    """The mesh is of the models' device, for which the process group has nccl."""
    monkeypatch.setattr(sharding, "init_device_mesh", asked)
    with pytest.raises(Asked, match=r"'cuda', \(2,\)"):
        sharding.Shards(make_job().task, Ranks(0, 2), torch.device("cuda"))
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    for name, answer in {"is_available": True, "device_count": 2, "set_device": None}.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(dist, "init_process_group", asked)
    with pytest.raises(Asked, match="cuda:nccl"), joined("auto"):
        pass


def test_slices_are_as_many_on_all_ranks(make_job):
    source = make_job().source
    for total in range(2, 24):
        for world in (2, 3):
            counts = Ranks(0, world).counts(total) if total >= world else []
            for at_once in (1, 3, 8):
                batches = [source.read(["image"], np.arange(count), 0) for count in counts]
                cut = [list(_slices(batch, at_once, max(counts))) for batch in batches]
                assert len({len(pieces) for pieces in cut}) <= 1
                assert all(0 < len(piece) <= at_once + 1 for pieces in cut for piece in pieces)
                assert [sum(map(len, pieces)) for pieces in cut] == counts


def test_a_run_that_is_not_sharded_keeps_its_hash(make_job):
    assert make_job(shard=False).run_hash == make_job().run_hash != make_job(shard=True).run_hash
    assert make_job(shard=True).run_hash == make_job(shard=True, processes=2).run_hash


@pytest.mark.parametrize(
    ("kind", "others"),
    [
        (LearnerSettings, {"flexi": FlexiSettings(LowSettings(16))}),
        (LearnerSettings, {"labels": LabelSettings("names.txt")}),
        (LearnerSettings, {"moclr": MoclrSettings()}),
        (ReferenceSettings, {"labels": LabelSettings("names.txt")}),
    ],
)
def test_what_is_not_sharded_yet_is_one_line_beforehand(kind, others):
    """Of a run that is asked for: a method whose settings another one inherits may have set it."""
    settings = kind(training=TrainingSettings(shard=True, loss="softmax"), **others)
    with pytest.raises(UserError, match=rf"training\.shard: cannot be combined with {next(iter(others))}; leave one"):
        check_shard(settings)
    check_shard(replace(settings, training=replace(settings.training, shard=False)))
    check_shard(kind(training=settings.training))


def test_compiled_models_are_not_sharded_yet():
    with pytest.raises(UserError, match=r"training\.shard: cannot be combined with training\.compile; leave one"):
        TrainingSettings(shard=True, compile=True)


def test_a_task_says_whether_its_models_can_be_cut(make_job):
    task = make_job().task
    assert task.holders()["learner"].model is task.models["learner"].module
    with pytest.raises(UserError, match=r"training.shard: this task's models can't be sharded; .* method `holders`"):
        Task.holders(task)
