"""The batch script under Slurm itself, on two machines of one task each: stopped by its signal, submitted again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.project import ENVIRONMENT, PROJECT, command, copy_project
from tests.slurm_cluster import Cluster, slurm_cluster

pytestmark = pytest.mark.slow
PARAMS = "--params=learner.training.steps=60,learner.training.checkpoint_every=5,learner.training.evaluate_every=60"
WANTED = ("--nodes=2", "--gpus-per-node=1", "--cpus-per-task=1", "--time=20")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with slurm_cluster() as started:
        yield started


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"))


def submit(cluster: Cluster, project: Path) -> str:
    asked = ("sbatch", "--parsable", *WANTED, str(PROJECT / "scripts/slurm.sbatch"), "jest", "--env=quick", PARAMS)
    return cluster.run(*asked, cwd=project, **ENVIRONMENT).strip()


def log_of(project: Path, job: str) -> str:
    return (project / f"superbatch-{job}.log").read_text()


def wait_until(there: Callable[[], bool], said: Callable[[], str]) -> None:
    until = time.monotonic() + 400
    while not there():
        assert time.monotonic() < until, said()
        time.sleep(0.2)


def state_of(cluster: Cluster, project: Path, job: str) -> str:
    """Wait for a job's end, and return what it ended as."""
    ends = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}
    wait_until(lambda: cluster.facts(job)["JobState"] in ends, lambda: log_of(project, job))
    return cluster.facts(job)["JobState"]


def errors_in(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith(("Error", "Traceback", "Exception"))]


def test_a_job_stopped_by_slurm_and_submitted_again_makes_the_run_of_one_machine(
    cluster: Cluster, project: Path
) -> None:
    """`scancel --signal` sends what `--signal=TERM@300` does before the time limit, in the same way: to every process of the step."""
    job, states = submit(cluster, project), project / "data/quick/06_models/.state"
    step = f"{job}.1"  # behind all that comes before the learner

    def learning() -> bool:
        return cluster.facts(job)["JobState"] != "FAILED" and "jest: 60 steps" in log_of(project, job)

    wait_until(lambda: (project / f"superbatch-{job}.log").exists() and learning(), lambda: log_of(project, job))
    wait_until(lambda: any(states.glob("*/step-*")), lambda: log_of(project, job))
    cluster.run("scancel", "--signal=TERM", step)
    assert state_of(cluster, project, job) == "FAILED" and cluster.facts(job)["ExitCode"] == "143:0"
    line = "Error: jest: stopped by SIGTERM, the state of step "
    assert errors_in(log_of(project, job)) and all(said.startswith(line) for said in errors_in(log_of(project, job)))

    again = submit(cluster, project)
    assert state_of(cluster, project, again) == "COMPLETED", log_of(project, again)
    assert "jest: run hash" in log_of(project, again) and "continues at step " in log_of(project, again)
    assert not errors_in(log_of(project, again))
    assert (project / "data/quick/07_model_output/jest/evaluation").is_dir()
    made = summary(project)
    assert made["plan"]["ranks"] == 2

    alone = f"{PARAMS},learner.training.processes=2,learner.training.fresh=true"
    command(project, "kedro", "run", "--pipelines=learner", "--namespaces=jest", "--env=quick", alone)
    assert summary(project)["run_hash"] == made["run_hash"] and summary(project)["digests"] == made["digests"]


def summary(project: Path) -> dict:
    return json.loads((project / "data/quick/07_model_output/jest/training/run.json").read_text())
