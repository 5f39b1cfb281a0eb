"""The start of a run: look for a state under the job's own hash, and set everything up that its steps need."""

from __future__ import annotations

import logging
import shutil
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

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
from superbatch.training.optimizer import Kept, make_optimizer
from superbatch.training.pending import restore
from superbatch.training.records import NoRecords, Records, schemas
from superbatch.training.resume_from import take_state_from
from superbatch.training.state import RECORDS, Resumed, find_state, load_state
from superbatch.training.step import Trained
from superbatch.training.task import LEARNER
from superbatch.training.watch import BadSteps, Clock

if TYPE_CHECKING:
    from superbatch.training.sharding import Shards

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
    account = job.account()  # by models that are whole yet
    shards = _shards(job, ranks, device)
    kept = _kept(job)
    resumed = _continue(job, ranks, kept)
    word = f"continues at step {resumed.step:,}" if resumed.step else "starts from scratch"
    log.info("%s: run hash %s %s", job.name, job.run_hash, word)
    records = _records(job, ranks, account, resumed)
    trained = [
        _trained(job, ranks, name, optimizer, records, shards) for name, (_, optimizer) in kept.items() if optimizer
    ]
    waiting = (job.source, task.reads.training, order, ranks, device, job.selection.gain)
    pending = deque(restore(resumed.pending, *waiting))
    clock = Clock(device, account.beside())
    run = LiveRun(job, device, trained, account, records, resumed.totals, clock, ranks, order, pending, shards=shards)
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


def _shards(job: Job, ranks: Ranks, device: torch.device) -> Shards | None:
    """Cut the models over the ranks, where the settings ask for it and there are several."""
    if not job.training.shard:
        return None
    if ranks.world == 1:
        log.warning("%s: training.shard has no effect, because this run has one process", job.name)
        return None
    from superbatch.training.sharding import Shards

    return Shards(job.task, ranks, device)


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


def _trained(
    job: Job, ranks: Ranks, name: str, optimizer: torch.optim.Optimizer, records: Records, shards: Shards | None
) -> Trained:
    """Return a model with what it is trained with; what is watched for follows from the ledger."""
    settings, ledger = job.training, records.read("ledger") if ranks.is_first else None
    column, whose = ("loss", "the") if name == LEARNER else (f"loss_{name}", f"the {name}'s")
    watch = ranks.tell(None if ledger is None else BadSteps.after(ledger, settings, column, whose))
    assert watch is not None, "rank 0 tells"
    return Trained(name, optimizer, BatchGradients(job.task, name, ranks, settings.accumulate, shards), watch)


def _empty(folder: Path) -> None:
    """Remove what is in a folder; the folder itself stays, since it is held (`alone_in`)."""
    for path in folder.glob("*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _last_state(job: Job) -> Path | None:
    """Find the run's last whole state, its own or else the one that `training.resume_from` names.

    Raises:
        UserError: a foreign `resume_from`, or one of which every state is damaged: whoever names it wants no start from scratch.
    """
    directory, elsewhere = find_state(job.state_dir), job.training.resume_from
    if not elsewhere:
        return directory
    take_state_from(Path(elsewhere), job.state_dir, job.full_identity)
    directory = directory or find_state(job.state_dir)
    if directory is None:
        what = "has no checkpoint that is whole"
        remedy = "name another folder, or leave it out to start from scratch"
        raise UserError(f"training.resume_from: {elsewhere}", what, remedy)
    return directory


def _continue(job: Job, ranks: Ranks, kept: Kept) -> Resumed:
    """Load the run's last state; rank 0 finds it, and alone removes what is damaged or not wanted."""
    directory = None
    if ranks.is_first:
        if job.training.fresh:
            _empty(job.state_dir)
        directory = _last_state(job)
        job.state_dir.mkdir(parents=True, exist_ok=True)
        write_json(job.state_dir / "identity.json", job.full_identity)
    directory = ranks.tell(directory)
    found = Resumed() if directory is None else load_state(directory, kept)
    if found.machine not in (None, machine()):
        log.warning(
            "%s: its state of step %d was made on %s, this is %s: the bits may differ from a run on a single machine",
            *(job.name, found.step, found.machine, machine()),
        )
    return found
