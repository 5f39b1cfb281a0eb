"""The `kedro` command, forked, and a project that it has made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from superbatch.starter import make_project
from tests.forked import Done, forked
from tests.project import ONE_THREAD, copy_project

SMALL = "simweb.pool_pairs=400"  # in every run that renders the pool of `ready_project`


def forked_kedro(folder: Path, *arguments: str, check: bool = False, seconds: float = 300, **environment: str) -> Done:
    """Run `kedro <arguments>` in a folder; settings must keep it to one process (`jobs: 1`)."""
    return forked("kedro", folder, *arguments, check=check, seconds=seconds, **environment)


def quick_run(folder: Path, *arguments: str, params: str = "") -> Done:
    """Run `kedro run <arguments>` in the quick environment on such a project, with some parameters of one's own."""
    given = ",".join(filter(None, (SMALL, ONE_THREAD, params)))
    return forked_kedro(folder, "run", *arguments, "--env=quick", f"--params={given}")


def training_record(data: Path, name: str) -> dict[str, Any]:
    """Read what a run's training left of itself."""
    return json.loads((data / "07_model_output" / name / "training" / "run.json").read_text())


def ready_project(folder: Path) -> None:
    """Make a project in `<folder>/project` with everything a learner reads, of the quick environment: a small pool, a reference
    of two steps, its embeddings."""
    small = f"{SMALL},{ONE_THREAD},reference.training.steps=2,reference.training.evaluate_every=2"
    stages = "--pipelines=simweb,ingest,reference,check,embed"
    forked_kedro(copy_project(folder / "project"), "run", stages, "--env=quick", f"--params={small}", check=True)


def started_project(folder: Path) -> None:
    """Make a project in `<folder>/project` as `superbatch init` does, and run its chain in the quick environment."""
    make_project(folder / "project")
    done = quick_run(folder / "project", "--pipeline=jest")
    assert done.returncode == 0, done.stdout + done.stderr
