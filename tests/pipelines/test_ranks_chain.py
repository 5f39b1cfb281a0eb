"""The main job and the learner's stage in several ranks, as a user runs them: launched, killed, continued, and under torchrun."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.in_ranks import free_port
from tests.namespaces import two_machines
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


def killed_behind_a_state(
    project: Path, arguments: list[str], by: signal.Signals = signal.SIGKILL
) -> tuple[subprocess.Popen[str], str]:
    """Start a command, kill or stop one of its ranks when a state is there, and return it with what it said."""
    started = subprocess.Popen(
        arguments, cwd=project, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    states = project / "data/quick/06_models/.state"
    before, until = set(states.glob("*/step-*")), time.monotonic() + 300
    while not set(states.glob("*/step-*")) - before:
        assert started.poll() is None and time.monotonic() < until, started.communicate()[0]
        time.sleep(0.1)
    ranks = ranks_of(started.pid)
    os.kill(ranks[-1], by)
    said = started.communicate(timeout=240)[0]
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


def test_a_killed_rank_of_a_sharded_run_changes_no_bit(project: Path) -> None:
    asked = learner(2, "learner.training.seed=9", "learner.training.shard=true")
    ended, said = killed_behind_a_state(project, asked)
    lines = [line for line in said.splitlines() if line.startswith(("Error", "Traceback", "Exception"))]
    assert ended.returncode == 1 and len(lines) == 1
    assert lines[0].startswith(
        "Error: rank 1: died of SIGKILL, and the other ranks were stopped; give the same command"
    )
    assert "continues at step " in command(project, *asked).stderr
    continued = summary(project)["digests"]
    command(
        project, *learner(2, "learner.training.seed=9", "learner.training.shard=true", "learner.training.fresh=true")
    )
    assert summary(project)["digests"] == continued


def test_a_stopped_rank_is_one_line_and_the_run_goes_on(project: Path) -> None:
    """After the timeout torch gives it half a minute to end by itself."""
    asked = learner(2, "learner.training.seed=7", "learner.training.timeout=20")
    ended, said = killed_behind_a_state(project, asked, signal.SIGSTOP)
    lines = [line for line in said.splitlines() if line.startswith(("Error", "Traceback", "Exception"))]
    assert ended.returncode == 1 and len(lines) == 1
    assert lines[0].startswith(
        "Error: rank 1: gave no answer for 20 seconds, and the ranks were stopped; give the same"
    )
    assert "continues at step " in command(project, *asked).stderr
    assert summary(project)["status"] == "finished" and summary(project)["seed"] == 7


def test_torchrun(project: Path) -> None:
    torchrun = ("torchrun", "--nproc-per-node=2", "--no-python")
    command(project, *torchrun, *learner(1, "learner.training.seed=5"))
    assert summary(project)["plan"]["ranks"] == 2 and summary(project)["seed"] == 5
    assert (project / "data/quick/06_models/jest/open_clip_model.safetensors").is_file()
    refused = command(project, *torchrun, "kedro", "run", "--pipelines=ingest", "--env=quick", check=False)
    assert refused.returncode != 0
    assert "Error: torchrun: " in refused.stderr and "is for one process; run `kedro run --pipelines" in refused.stderr


def test_two_launches_meet_as_two_machines_would(project: Path) -> None:
    meeting = f"learner.training.rendezvous=localhost:{free_port()}"
    arguments = learner(1, "learner.training.seed=6", "learner.training.machines=2", meeting)
    machines = [
        subprocess.Popen(arguments, cwd=project, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [machine.wait(timeout=300) for machine in machines] == [0, 0]
    assert summary(project)["plan"]["ranks"] == 2 and summary(project)["seed"] == 6


@pytest.mark.parametrize("shard", ["false", "true"])
def test_two_machines_on_a_network_of_their_own_make_the_run_of_one(project: Path, shard: str) -> None:
    """The machines' host name stands for no address that they have: only the interface tells where they are."""
    same = ("learner.training.seed=8", f"learner.training.shard={shard}")
    command(project, *learner(2, *same))
    expected = summary(project)
    with two_machines() as both:
        meeting = f"learner.training.rendezvous={both[0].address}:29400"
        started = []
        for machine in both:
            more = (*same, "learner.training.machines=2", "learner.training.fresh=true", meeting)
            asked = learner(1, *more, f"learner.training.interface={machine.interface}")
            started.append(
                subprocess.Popen(
                    [*machine.prefix, *asked], cwd=project, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
                )
            )
        said = [machine.communicate(timeout=600)[1] for machine in started]
    assert [machine.returncode for machine in started] == [0, 0], said
    assert sum("starts from scratch" in text for text in said) == 1, "it was trained again, by rank 0"
    assert summary(project)["run_hash"] == expected["run_hash"] and summary(project)["plan"]["ranks"] == 2
    assert summary(project)["digests"] == expected["digests"]


def test_two_machines_whose_cable_is_cut_say_so_in_one_line_each(project: Path) -> None:
    """The machine without the meeting place too: by itself torch's store would let it wait for a quarter of an hour."""
    states = project / "data/quick/06_models/.state"
    with two_machines() as both:
        meeting = f"learner.training.rendezvous={both[0].address}:29400"
        more = ("learner.training.seed=11", "learner.training.steps=3000", "learner.training.timeout=10")
        before, until, started = set(states.glob("*/step-*")), time.monotonic() + 300, []
        for machine in both:
            asked = learner(1, *more, "learner.training.machines=2", meeting)
            asked[-1] += f",learner.training.interface={machine.interface}"
            to_file = project / f"{machine.interface}.log"
            with open(to_file, "w") as said:
                arguments = [*machine.prefix, *asked]
                started.append(subprocess.Popen(arguments, cwd=project, env=ENVIRONMENT, stdout=said, stderr=said))
        while not set(states.glob("*/step-*")) - before:
            assert time.monotonic() < until and all(machine.poll() is None for machine in started)
            time.sleep(0.1)
        cut = ("ip", "netns", "exec", both[0].prefix[-1], "ip", "link", "set", both[0].interface, "down")
        subprocess.run(cut, check=True)
        assert [machine.wait(timeout=300) for machine in started] == [1, 1]
    for machine in both:
        said = (project / f"{machine.interface}.log").read_text()
        lines = [line for line in said.splitlines() if line.startswith(("Error", "Traceback", "Exception", "frame"))]
        assert len(lines) == 1 and lines[0].startswith("Error: a rank of another machine: "), said
