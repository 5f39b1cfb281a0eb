"""SIGKILL at random, in processes of their own: benchmarks/kills.py in small, and inside the writing of each file."""

from __future__ import annotations

import importlib
import random
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from tests.in_ranks import beside
from tests.project import PROJECT


@pytest.fixture(scope="module")
def kills() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PROJECT / "benchmarks"))
        yield importlib.import_module("kills")


def half_written(kills: ModuleType, training: object, said: Path, name: str, states: int) -> None:
    """Be a process of the training that dies in the middle of a file: `name`, in the writing of some state."""
    import os
    import signal

    from superbatch.training import state

    real, seen = state.save_file, [0]

    def dying(tensors: dict, path: Path) -> None:
        real(tensors, path)
        seen[0] += Path(path).name == name
        if seen[0] == states:
            os.truncate(path, Path(path).stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    state.save_file = dying
    kills.run_here(training, None, said)


@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_random_kills_leave_the_run_bit_identical(kills, tmp_path, workers):
    found = kills.trials(tmp_path, 2, (workers,), seed=workers + 1, steps=12)
    assert [one.identical for one in found] == [True] * 2, [
        (path, path.read_text()[-500:]) for path in tmp_path.glob("*.log")
    ]
    assert all(len(one.kills) == 2 for one in found)


def test_killed_inside_a_file_of_a_state(kills, tmp_path):
    whole = kills.finish(kills.Training(tmp_path / "whole", "joint", steps=12))
    training = kills.Training(tmp_path / "killed", "joint", steps=12)
    said = tmp_path / "killed.log"
    for name, states in (("model.safetensors", 1), ("optimizer.safetensors", 2), ("model.safetensors", 2)):
        process = beside(partial(half_written, kills, training, said, name, states), tmp_path / "beside")
        process.join(60)
        assert process.exitcode == -9, said.read_text()
        assert list((tmp_path / "killed" / "state").glob("*/.step-*.tmp")), "it died inside a state"
    assert kills.finish(training)["outcome"] == whole["outcome"]
    assert not list((tmp_path / "killed" / "state").glob("*/.*.tmp")), "what it left is removed"


@pytest.mark.slow
def test_twenty_random_kills_with_and_without_workers(kills, tmp_path):
    found = kills.trials(tmp_path, 20, (0, 2), seed=random.randrange(1_000))
    assert sum(one.identical for one in found) == 40
