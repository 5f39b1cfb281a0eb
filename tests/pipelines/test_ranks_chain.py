"""The main job and the learner's stage in several ranks, as a user runs them: launched, killed, continued, and under torchrun."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.project import ENVIRONMENT, command, copy_project

pytestmark = pytest.mark.slow
LEARNER = ("kedro", "run", "--pipelines=learner", "--namespaces=jest", "--env=quick")
STEPS = 30


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose main job ran in two ranks."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    command(folder, "kedro", "run", "--pipeline=jest", "--env=quick", "--params=learner.training.processes=2")
    return folder


def learner(processes: int, *more: str) -> list[str]:
    settings = {"steps": STEPS, "checkpoint_every": 5, "processes": processes}
    named = [f"learner.training.{name}={value}" for name, value in settings.items()]
    return [*LEARNER, f"--params={','.join([*named, *more])}"]


def summary(project: Path, run: str = "jest") -> dict[str, Any]:
    return json.loads((project / "data/quick/07_model_output" / run / "training/run.json").read_text())


def ranks_of(process: int) -> list[int]:
    """Processes that a command has spawned, oldest first."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == process and "spawn_main" in (folder / "cmdline").read_text():
                found.append(int(folder.name))
        except OSError:
            continue  # it ended meanwhile
    return sorted(found)


def killed_behind_a_state(project: Path, arguments: list[str]) -> tuple[subprocess.Popen[str], str]:
    """Start a command, kill one of its ranks when a state is there, and return it with what it said."""
    started = subprocess.Popen(
        arguments, cwd=project, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    states = project / "data/quick/06_models/.state"
    before, until = set(states.glob("*/step-*")), time.monotonic() + 300
    while not set(states.glob("*/step-*")) - before:
        assert started.poll() is None and time.monotonic() < until, started.communicate()[0]
        time.sleep(0.1)
    ranks = ranks_of(started.pid)
    os.kill(ranks[-1], signal.SIGKILL)
    said = started.communicate(timeout=120)[0]
    assert not [rank for rank in ranks if Path(f"/proc/{rank}").exists()], "no rank is left behind"
    return started, said


def test_the_main_job_in_two_ranks(project: Path) -> None:
    for run in ("jest", "uniform"):
        assert summary(project, run)["status"] == "finished" and summary(project, run)["plan"]["ranks"] == 2
    assert summary(project, "reference")["plan"]["ranks"] == 1


def test_a_killed_rank_is_one_line_and_three_ranks_continue(project: Path) -> None:
    ended, said = killed_behind_a_state(project, learner(2))
    lines = [line for line in said.splitlines() if line.startswith(("Error", "Traceback", "Exception"))]
    assert ended.returncode == 1 and len(lines) == 1
    assert lines[0].startswith(
        "Error: rank 1: died of SIGKILL, and the other ranks were stopped; give the same command"
    )
    continued = command(project, *learner(3)).stderr
    assert "continues at step " in continued
    picks = summary(project)["digests"]["picks"]
    assert summary(project)["plan"]["ranks"] == 3
    command(project, *learner(1, "learner.training.fresh=true"))
    assert summary(project)["plan"]["ranks"] == 1 and summary(project)["digests"]["picks"] == picks


def test_torchrun(project: Path) -> None:
    torchrun = ("torchrun", "--nproc-per-node=2", "--no-python")
    command(project, *torchrun, *learner(1, "learner.training.seed=5"))
    assert summary(project)["plan"]["ranks"] == 2 and summary(project)["seed"] == 5
    assert (project / "data/quick/06_models/jest/open_clip_model.safetensors").is_file()
    refused = command(project, *torchrun, "kedro", "run", "--pipelines=ingest", "--env=quick", check=False)
    assert refused.returncode != 0
    assert "Error: torchrun: " in refused.stderr and "is for one process; run `kedro run --pipelines" in refused.stderr


def test_two_launches_meet_as_two_machines_would(project: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = f"learner.training.rendezvous=localhost:{free.getsockname()[1]}"
    arguments = learner(1, "learner.training.seed=6", "learner.training.machines=2", meeting)
    machines = [
        subprocess.Popen(arguments, cwd=project, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [machine.wait(timeout=300) for machine in machines] == [0, 0]
    assert summary(project)["plan"]["ranks"] == 2 and summary(project)["seed"] == 6
