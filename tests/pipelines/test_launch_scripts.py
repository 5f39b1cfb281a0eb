"""The ready scripts for torchrun and Slurm, run as they are; Slurm's own commands are stood in for."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.project import ENVIRONMENT, PROJECT, command, copy_project

JOB = {"SLURM_JOB_NODELIST": "both", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "7"}
SRUN = """#!/usr/bin/env bash
# One task with --ntasks=1, else one for each machine of the job, at the same time; fails if one of them does.
count=$SLURM_JOB_NUM_NODES
while [[ $1 == --* ]]; do [[ $1 == --ntasks=1 ]] && count=1; shift; done
for ((task = 1; task < count; task++)); do "$@" & done
"$@" || exit 1
for task in $(jobs -p); do wait "$task" || exit 1; done
"""
SCONTROL = """#!/usr/bin/env bash
[[ $* == "show hostnames both" ]] && echo localhost && sleep 0.2 && echo another
"""
STEPS = 12
NOTED = """#!/usr/bin/env bash
# Notes the command, and runs nothing.
echo "${0##*/} $*" >> noted
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project without any data, and the two commands of Slurm's that the script calls."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    write_commands(folder / "slurm", srun=SRUN, scontrol=SCONTROL)
    return folder


def write_commands(folder: Path, **scripts: str) -> None:
    folder.mkdir()
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


def summary(project: Path) -> dict[str, object]:
    return json.loads((project / "data/quick/07_model_output/jest/training/run.json").read_text())


@pytest.mark.slow
def test_torchrun(project: Path) -> None:
    script = str(PROJECT / "scripts/torchrun.sh")
    command(project, script, "jest", "--env=quick", f"--params=learner.training.steps={STEPS}", RANKS="2")
    assert summary(project)["plan"]["ranks"] == 2
    assert (project / "data/quick/07_model_output/jest/evaluation").is_dir()


@pytest.mark.slow
def test_slurm(project: Path) -> None:
    job = JOB | {"SLURM_JOB_ID": str(os.getpid())}
    path = f"{project / 'slurm'}{os.pathsep}{ENVIRONMENT['PATH']}"
    more = f"learner.training.steps={STEPS},learner.training.seed=3"
    script = str(PROJECT / "scripts/slurm.sbatch")
    command(project, script, "jest", "--env=quick", f"--params={more}", RANKS="1", PATH=path, **job)
    assert summary(project)["plan"]["ranks"] == 2 and summary(project)["seed"] == 3
    assert (project / "data/quick/07_model_output/jest/evaluation").is_dir()


@pytest.mark.parametrize("script", ["torchrun.sh", "slurm.sbatch"])
def test_without_a_method_they_say_so(tmp_path: Path, script: str) -> None:
    said = subprocess.run([PROJECT / "scripts" / script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode != 0 and "which method?" in said.stderr


@pytest.mark.parametrize(("script", "launcher"), [("torchrun.sh", "torchrun"), ("slurm.sbatch", "srun --wait")])
def test_each_runs_the_method_s_own_chain_up_to_its_learner_alone(tmp_path: Path, script: str, launcher: str) -> None:
    """Methods differ in what comes before the learner (aced: a larger reference), so no stage is named here."""
    write_commands(tmp_path / "bin", kedro=NOTED, torchrun=NOTED, srun=NOTED, scontrol="#!/bin/sh\necho one\n")
    path = f"{tmp_path / 'bin'}{os.pathsep}{ENVIRONMENT['PATH']}"
    command(tmp_path, str(PROJECT / "scripts" / script), "aced", "--env=quick", PATH=path, **JOB)
    before, learner, after = (tmp_path / "noted").read_text().splitlines()
    assert all("kedro run --pipelines=aced " in line and "--env=quick" in line for line in (before, learner, after))
    assert "--tags=before_learner,settings" in before and launcher not in before + after
    assert (
        learner.startswith(launcher) and "--nodes=aced.check,aced.train" in learner and "--nodes=aced.evaluate" in after
    )
