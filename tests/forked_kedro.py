"""The `kedro` command, forked, and a project that it has made."""

from __future__ import annotations

from pathlib import Path

from tests.forked import Done, forked
from tests.project import ONE_THREAD, copy_project

SMALL = "simweb.pool_pairs=400"  # in every run that renders the pool of `ready_project`


def forked_kedro(folder: Path, *arguments: str, check: bool = False, seconds: float = 300, **environment: str) -> Done:
    """Run `kedro <arguments>` in a folder; settings must keep it to one process (`jobs: 1`)."""
    return forked("kedro", folder, *arguments, check=check, seconds=seconds, **environment)


def ready_project(folder: Path) -> None:
    """Make a project in `<folder>/project` with everything a learner reads, of the quick environment: a small pool, a reference
    of two steps, its embeddings."""
    small = f"{SMALL},{ONE_THREAD},reference.training.steps=2,reference.training.evaluate_every=2"
    stages = "--pipelines=simweb,ingest,reference,check,embed"
    forked_kedro(copy_project(folder / "project"), "run", stages, "--env=quick", f"--params={small}", check=True)
