"""The start of a run: look for a state under the job's own hash, and set everything up that its steps need."""

from __future__ import annotations

import logging
import shutil
from collections import deque
from pathlib import Path

import torch

from superbatch.artifacts.atomic import write_json
from superbatch.data.order import Order
from superbatch.errors import UserError
from superbatch.training.adapt import restore as restore_shares
from superbatch.training.distributed import Ranks
from superbatch.training.flops import Account
from superbatch.training.gradients import BatchGradients
from superbatch.training.job import Job
from superbatch.training.live import LiveRun
from superbatch.training.machine import machine
from superbatch.training.optimizer import make_optimizer
from superbatch.training.pending import restore
from superbatch.training.records import NoRecords, Records, schemas
from superbatch.training.state import RECORDS, Kept, Resumed, load_state, resume, state_of, take_state_from
from superbatch.training.step import Trained
from superbatch.training.task import LEARNER
from superbatch.training.watch import BadSteps, Clock

log = logging.getLogger(__name__)


def start(job: Job, ranks: Ranks, order: Order, device: torch.device) -> tuple[LiveRun, int]:
    """Put the models on the device, continue from the last state if there is one, and return the run with its first step.

    Raises:
        UserError: a foreign `resume_from`; fewer samples than ranks and micro-batches.
    """
    task, settings = job.task, job.training
    _check(job, ranks)
    torch.manual_seed(settings.seed)
    task.place(device, settings)
    kept = _kept(job)
    resumed = _continue(job, ranks, kept)
    word = f"continues at step {resumed.step:,}" if resumed.step else "starts from scratch"
    log.info("%s: run hash %s %s", job.name, job.run_hash, word)
    account = job.account()
    records = _records(job, ranks, account, resumed)
    trained = [_trained(job, ranks, name, optimizer, records) for name, (_, optimizer) in kept.items() if optimizer]
    waiting = (job.source, task.reads.training, order, ranks, device, job.selection.gain)
    pending = deque(restore(resumed.pending, *waiting))
    clock = Clock(device, account.beside())
    run = LiveRun(job, device, trained, account, records, resumed.totals, clock, ranks, order, pending)
    restore_shares(run)
    return run, resumed.step


def _check(job: Job, ranks: Ranks) -> None:
    cuts = ranks.world * job.training.accumulate
    if job.training.batch_size < cuts:
        raise UserError(
            "training.batch_size",
            f"{job.training.batch_size} samples cannot be split into {cuts} micro-batches",
            "start fewer processes, or lower training.accumulate",
        )
    if job.selection.stale_steps and not job.scoring:
        raise UserError("selection.stale_steps", "no model scores, so no weights could be stale", "leave it out")


def _kept(job: Job) -> Kept:
    """Return what a state keeps: models, each with its optimiser if it has one, by one set of rules.

    Those that are trained are in training mode; those that follow another are not: their dropout and statistics stand still.
    """
    kept: Kept = {}
    for name, model in job.task.models.items():
        model.module.train(model.trained)
        kept[name] = model.module, make_optimizer(model.module, job.training.optimizer) if model.trained else None
    return kept


def _records(job: Job, ranks: Ranks, account: Account, resumed: Resumed) -> Records:
    directory = job.state_dir / RECORDS
    if not ranks.is_first:
        return NoRecords(directory)
    with torch.no_grad():
        facts = [*job.task.facts(), *(["samples_measured"] if job.selection.adapt else [])]
    return Records(directory, resumed.step, resumed.parts, schemas(facts, account.beside()))


def _trained(job: Job, ranks: Ranks, name: str, optimizer: torch.optim.Optimizer, records: Records) -> Trained:
    """Return a model with what it is trained with; what is watched for follows from the ledger."""
    settings, ledger = job.training, records.read("ledger") if ranks.is_first else None
    column, whose = ("loss", "the") if name == LEARNER else (f"loss_{name}", f"the {name}'s")
    watch = ranks.tell(None if ledger is None else BadSteps.after(ledger, settings, column, whose))
    assert watch is not None, "rank 0 tells"
    return Trained(name, optimizer, BatchGradients(job.task, name, ranks, settings.accumulate), watch)


def _empty(folder: Path) -> None:
    """Remove what is in a folder; the folder itself stays, since it is held (`alone_in`)."""
    for path in folder.glob("*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _continue(job: Job, ranks: Ranks, kept: Kept) -> Resumed:
    """Load the run's last state; rank 0 finds it, and alone removes what is damaged or not wanted."""
    found = None
    if ranks.is_first:
        if job.training.fresh:
            _empty(job.state_dir)
        if job.training.resume_from:
            take_state_from(Path(job.training.resume_from), job.state_dir, job.full_identity)
        job.state_dir.mkdir(parents=True, exist_ok=True)
        write_json(job.state_dir / "identity.json", job.full_identity)
        found = resume(job.state_dir, kept)
    found = ranks.tell(found)
    assert found is not None, "rank 0 tells"
    if found.step and not ranks.is_first:
        load_state(state_of(job.state_dir, found.step), kept)
    if found.machine not in (None, machine()):
        log.warning(
            "%s: its state of step %d was made on %s, this is %s: the bits may differ from a run on a single machine",
            *(job.name, found.step, found.machine, machine()),
        )
    return found
