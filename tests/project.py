"""A fresh project for tests that run commands: the configuration, and a data folder of its own."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
ENVIRONMENT = {
    **os.environ,
    "DO_NOT_TRACK": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "OMP_NUM_THREADS": "1",
    "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
}
# Some workers test at a time: trainings with two threads would wait for each other.
ONE_THREAD = "reference.training.threads=1,learner.training.threads=1"
UNREPORTED = ["--tags=data,features,training,evaluation"]  # reports are made anew each time, and drawing takes long


def copy_project(target: Path) -> Path:
    """Copy what a project needs besides the installed package."""
    shutil.copytree(
        PROJECT / "conf", target / "conf", ignore=lambda _, names: [name for name in names if name == "local"]
    )
    for folder in ("conf/local", "src", "data"):
        (target / folder).mkdir()
    for file in ("pyproject.toml", ".telemetry"):
        shutil.copy(PROJECT / file, target)
    return target


def copy_of(name: str, make: Callable[[Path], object], places: pytest.TempPathFactory) -> Path:
    """Return a copy of a folder that is made once in a run of the tests, by whichever worker needs it first.

    Args:
        name: of the folder, one for each way to make it.
        make: fills an empty folder, whose place does not matter.
        places: where this worker's folders are.
    """
    base = places.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with open(shared / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / name).exists():
            shutil.rmtree(shared / f"{name}.new", ignore_errors=True)  # another worker's, which failed
            (shared / f"{name}.new").mkdir()
            make(shared / f"{name}.new")
            (shared / f"{name}.new").rename(shared / name)
    return Path(shutil.copytree(shared / name, places.mktemp(name) / name, symlinks=True))


def command(folder: Path, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the environment (kedro, dvc) in a folder."""
    done = subprocess.run(
        arguments, cwd=folder, env=ENVIRONMENT | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done
