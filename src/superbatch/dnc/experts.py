"""The experts: one a cluster, each trained as the base was, on its cluster's rows alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from superbatch.artifacts.atomic import write_json
from superbatch.artifacts.fingerprints import fingerprint
from superbatch.artifacts.shelf import link_into
from superbatch.artifacts.stamps import Staged, build_once
from superbatch.dnc.clusters import open_clusters
from superbatch.dnc.schedule import expert_steps
from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.options import LearnerSettings
from superbatch.tasks.image_jobs import moclr_job
from superbatch.tasks.sets import SetFiles
from superbatch.training.flops import Spent
from superbatch.training.job import Job
from superbatch.training.once import train_once

MODEL, TRAINING, SPENT = "model", "training", "spent.json"


@dataclass(frozen=True)
class Divided:
    """A pool as a base divided it, and where trainings keep their state.

    Attributes:
        pool: the ingested set, its packed pixels if there are any.
        base: the base's checkpoint. clusters: the division's directory.
        state_root: folder of the runs' states.
    """

    pool: SetFiles
    base: Path
    clusters: Path
    state_root: Path

    def owners(self) -> np.ndarray:
        """Open each row's cluster, int32 (N,)."""
        return open_clusters(self.clusters, self.base, self.pool.manifest())


def expert_settings(settings: LearnerSettings, steps: int, start: Path | None) -> LearnerSettings:
    """Return the settings of an expert.

    Args:
        settings: of all experts. steps: its own. start: the checkpoint that it starts from; None: random weights.
    """
    training = replace(settings.training, steps=steps, keep_best=None, patience=0)  # experts are not evaluated
    model = settings.model if start is None else replace(settings.model, pretrained=str(start))
    return replace(settings, training=training, model=model)


def build_expert(number: int, settings: LearnerSettings, given: Divided) -> Job:
    """Make the job of an expert by its number; a recipe for other processes."""
    rows = np.flatnonzero(given.owners() == number)
    recipe = partial(build_expert, number, settings, given)
    return moclr_job(f"expert {number}", settings, given.pool, given.state_root, rows=rows, recipe=recipe)


def expert_jobs(settings: LearnerSettings, steps: int, from_base: bool, given: Divided) -> list[Job]:
    """Make the jobs of all experts.

    Args:
        settings: of all. steps: of all together. from_base: whether they start from the base's weights.
        given: the divided pool.
    """
    each = expert_steps(np.bincount(given.owners()).tolist(), steps)
    start = given.base if from_base else None
    return [build_expert(number, expert_settings(settings, own, start), given) for number, own in enumerate(each)]


def train_experts(jobs: Sequence[Job], stages: Path, prepare: Callable[[], None] | None = None) -> Staged:
    """Train the experts one after the other, or find that it was done; each resumes where it was.

    Returns:
        A directory with a folder for each expert, by its number: `model` and `training`; `spent.json` says what all of them took.
    """

    def write(out: Path) -> None:
        spent = {"flops": 0.0, "seconds": 0.0, "steps": 0}
        for number, job in enumerate(jobs):
            model, training = train_once(job, stages, prepare)
            for name, staged in ((MODEL, model), (TRAINING, training)):
                (out / str(number)).mkdir(exist_ok=True)
                link_into(staged.path, out / str(number) / name)
            record = read_json(training.path / "run.json")
            spent["flops"] += record["flops"]["as_executed_total"]
            spent["seconds"] += sum(record["seconds"].values())
            spent["steps"] += job.training.steps
        write_json(out / SPENT, spent)

    name, fresh = fingerprint(["experts", [job.run_hash for job in jobs]]), any(job.training.fresh for job in jobs)
    return build_once("experts", name, stages, write, fresh=fresh)


def expert_models(directory: Path) -> list[Path]:
    """List the experts' checkpoints, by number.

    Raises:
        UserError: none there.
    """
    found = sorted((path for path in directory.glob(f"*/{MODEL}")), key=lambda path: int(path.parent.name))
    if not found:
        raise UserError(str(directory), "no experts were found", "run `kedro run --pipeline=dnc` again")
    return found


def experts_spent(directory: Path) -> Spent:
    """Return what training all experts took."""
    found = read_json(directory / SPENT)
    return Spent(found["flops"], found["seconds"])
