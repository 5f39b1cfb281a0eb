"""Train a job unless its run hash is finished, with as many processes as it asks for."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from superbatch.artifacts.stamps import Staged, find_stage, write_stamp
from superbatch.training.alone import alone_in
from superbatch.training.distributed import ranks_here
from superbatch.training.following import followed
from superbatch.training.job import Job
from superbatch.training.loop import train

log = logging.getLogger(__name__)


def train_once(job: Job, stages_root: Path, prepare: Callable[[], None] | None = None) -> tuple[Staged, Staged]:
    """Train a job unless its hash is finished.

    Args:
        job: with a `recipe` where its settings ask for several processes.
        stages_root: folder of staged directories.
        prepare: called first in each process that is started, to set up logging for instance.

    Returns:
        Checkpoint and records, as staged directories.

    Raises:
        UserError: another command trains the run; or as `train` does.
        Interrupted: as `train` does.
    """
    with followed(job) as finished:
        model, training = _train_once(job, stages_root, prepare)
        if not training.elsewhere:
            finished(training.path)
    return model, training


def _train_once(job: Job, stages_root: Path, prepare: Callable[[], None] | None) -> tuple[Staged, Staged]:
    done = _done(job, stages_root)
    if done is not None:
        return done
    with alone_in(job.state_dir) if _leads(job) else nullcontext():
        # Whoever had to wait for another command finds the run finished. Ranks of torchrun don't look again: all of them would have to see the same.
        done = _done(job, stages_root) if ranks_here().world == 1 else None
        return done or _train_and_stamp(job, stages_root, prepare)


def _done(job: Job, stages_root: Path) -> tuple[Staged, Staged] | None:
    """Return what a finished run left, saying so; None where it is to be trained."""
    done = None if job.training.fresh else _finished(job, stages_root)
    if done is None:
        return None
    log.info("%s: up to date (run hash %s)", job.name, job.run_hash)
    model, training = (replace(staged, elsewhere=not ranks_here().is_first) for staged in done)
    return model, training


def _train_and_stamp(job: Job, stages_root: Path, prepare: Callable[[], None] | None) -> tuple[Staged, Staged]:
    """Train, and declare checkpoint and records finished while the run's state is still held."""
    first = _train(job, prepare)
    model, training = (
        Staged(path, fingerprint, stages_root, elsewhere=not first) for fingerprint, path in _waiting(job).items()
    )
    if first:
        for staged in (model, training):
            write_stamp(staged.path, staged.fingerprint)
        # The run is finished: its checkpoint and records are all that is needed.
        for state in [*job.state_dir.glob("step-*"), *job.state_dir.glob("best")]:
            shutil.rmtree(state)
    return model, training


def _leads(job: Job) -> bool:
    """Whether this process holds the run's state for all: rank 0, or the command that starts the ranks. Commands on several machines share it."""
    here = ranks_here()
    return here.is_first and (here.world > 1 or job.training.machines == 1)


def _waiting(job: Job) -> dict[str, Path]:
    """Where a finished job leaves its checkpoint and its records, by the fingerprints that they get."""
    folders = {"model": job.state_dir / "final", "training": job.state_dir / "training"}
    return {f"{job.run_hash}-{name}": folder for name, folder in folders.items()}


def _finished(job: Job, stages_root: Path) -> tuple[Staged, Staged] | None:
    """Find the checkpoint and records of a finished run hash, if both exist: published, or still in its state folder."""
    model, training = (find_stage(fingerprint, stages_root, path) for fingerprint, path in _waiting(job).items())
    return None if model is None or training is None else (model, training)


def _train(job: Job, prepare: Callable[[], None] | None) -> bool:
    """Train here, or in processes of this machine where the settings ask for several; returns whether rank 0 was among them."""
    settings, here = job.training, ranks_here()
    if here.world > 1 or settings.processes * settings.machines == 1:
        train(job)
        return here.is_first
    from superbatch.training.launch import Processes, launch

    assert job.recipe is not None, "a job for several processes needs a function that makes it again"
    where = Processes(
        settings.processes, settings.machines, settings.rendezvous, job.run_hash, settings.interface, settings.timeout
    )
    return launch(partial(train_rank, job.recipe, prepare), where)


def train_rank(recipe: Callable[[], Job], prepare: Callable[[], None] | None) -> None:
    """Be one rank of a training, in a process that knows nothing yet."""
    if prepare is not None:
        prepare()
    train(recipe())
