"""The training loop: a step of the models on each pick, then what is due behind it."""

from __future__ import annotations

import logging
import signal
from contextlib import closing
from functools import partial

import torch

from superbatch.errors import Interrupted, UserError
from superbatch.models import evaluating, pick_device
from superbatch.progress import progress
from superbatch.training.best import keep_best, waited_enough
from superbatch.training.booking import book
from superbatch.training.distributed import Ranks, joined
from superbatch.training.job import Job, TrainResult
from superbatch.training.live import LiveRun
from superbatch.training.machine import repeatable, threads
from superbatch.training.optimizer import learning_rate, set_learning_rate
from superbatch.training.pending import Pick, pending_tensors
from superbatch.training.picks import picks
from superbatch.training.plan import Plan, describe, sentence, share_of_work
from superbatch.training.random_state import keeping_random_state, seed_step
from superbatch.training.signals import Stop, noting_signals
from superbatch.training.start import start
from superbatch.training.state import last_step, save_state
from superbatch.training.step import train_step
from superbatch.training.summary import commit, finish
from superbatch.training.task import LEARNER
from superbatch.training.watch import LiveLine, Pace

log = logging.getLogger(__name__)


def train(job: Job) -> TrainResult:
    """Train a job to its end, continuing from its last state if it has one; as a rank, where the environment says so.

    Returns the staged checkpoint and records, which wait in the job's state folder until they are published.

    Raises:
        UserError: B over the rows, a foreign `resume_from`, a bad step, an operation that is not repeatable.
        Interrupted: SIGTERM or SIGINT asked to stop; the state of the last finished step is saved.
    """
    with joined(job.training.device, job.training.timeout, job.training.interface) as ranks:
        device = pick_device(job.training.device)
        with threads(job.training, ranks), repeatable(device, job.training):
            return _train(job, ranks, device)


def _train(job: Job, ranks: Ranks, device: torch.device) -> TrainResult:
    order = job.order
    made_from = commit()  # now, since the working tree may change before the run ends
    run, first = start(job, ranks, order, device)
    plan = describe(run)
    log.info(sentence(run, plan))
    log.info("%s: to follow it: tail -F %s", job.name, run.records.tail)
    if first == 0:
        _evaluate(run, 0)
    with noting_signals(of_rank=ranks.world > 1) as stop:  # ranks are stopped by their launch, also when one has died
        try:
            _take_steps(run, first, stop, plan)
        except Exception as error:
            if stop.signum is None or isinstance(error, UserError):  # a full disk has its own line
                raise
            # The signal reached other processes too, and they stopped at once.
            raise _interrupted(job, stop.signum, last_step(job.state_dir)) from None
        asked = ranks.most(stop.signum or 0)
        if asked:  # it came while the last state was saved
            raise _interrupted(job, asked, last_step(job.state_dir))
    with run.whole():
        result = ranks.tell(finish(run, plan, made_from) if ranks.is_first else None)
    assert result is not None, "rank 0 tells"
    return result


def _take_steps(run: LiveRun, first: int, stop: Stop, plan: Plan) -> None:
    """Train from step `first` to the end, or to the step in which somebody asked to stop."""
    job, live = run.job, LiveLine()
    pace = Pace(plan["expected_seconds"], job.training.steps, partial(share_of_work, run))
    with (
        progress(total=job.training.steps, initial=first, description=job.name, unit="step") as bar,
        closing(picks(run, first)) as chosen,  # its workers end here, also after an error
    ):
        run.clock.skip()
        if _ends_here(run, first):  # it was killed between its last step and its end
            return
        for pick in chosen:
            row = _step(run, pick)
            # Once: a signal that comes while the state is saved is for the next step. One rank's signal stops all at the same step.
            asked = run.ranks.most(stop.signum or 0)
            _after_step(run, pick.step + 1, asked > 0)
            bar.set_postfix_str(live.text(row), refresh=False)
            bar.update()
            corrected = pace.note(row, pick.step + 1)
            if corrected and run.ranks.is_first:
                log.info("%s: %s", job.name, corrected)
            if asked:
                run.ranks.tell(None)  # the other ranks wait until rank 0 has saved
                raise _interrupted(job, asked, pick.step + 1)
            if _ends_here(run, pick.step + 1):
                return
            run.clock.skip()


def _ends_here(run: LiveRun, done: int) -> bool:
    """Whether the run ends before all its steps are taken, since its best value was long ago (`training.patience`); saves its state then."""
    job = run.job
    if not job.training.patience or done % job.training.evaluate_every or done == job.training.steps:
        return False
    enough = run.ranks.is_first and waited_enough(job, run.records.so_far("evaluations"))
    if not run.ranks.most(int(enough)):
        return False
    log.info(
        "%s: ends after %d steps: %s has not risen for %d evaluations",
        *(job.name, done, job.training.keep_best, job.training.patience),
    )
    if last_step(job.state_dir) != done:
        _save(run, done)
    return True


def _interrupted(job: Job, signum: int, step: int) -> Interrupted:
    kept = f"the state of step {step:,} is kept" if step else "no step was saved yet"
    name, way = signal.Signals(signum).name, " without training.fresh" if job.training.fresh else ""
    return Interrupted(f"{job.name}: stopped by {name}, {kept}; to continue, give the same command again{way}", signum)


def _step(run: LiveRun, pick: Pick) -> dict[str, float]:
    """Train on a pick and record its step; returns its row of the ledger."""
    settings = run.job.training
    rate = learning_rate(pick.step, settings.steps, settings.optimizer)
    for one in run.trained:
        set_learning_rate(one.optimizer, rate * one.model.rate)
    seed_step(settings.seed, pick.step, run.ranks.rank, run.device)
    found = train_step(run.job.task, run.trained, pick.batch, settings, pick.step, run.clock.lap, pick.super_batch)
    return book(run, pick, rate, found)


def _after_step(run: LiveRun, done: int, stopping: bool) -> None:
    """Evaluate and checkpoint where it is time; the last step does both, and one after which the run stops saves its state."""
    settings = run.job.training
    last = done == settings.steps
    if last or done % settings.evaluate_every == 0:
        _evaluate(run, done)
    run.clock.skip()
    if last or done % settings.checkpoint_every == 0 or stopping:
        _save(run, done)


def _save(run: LiveRun, done: int) -> None:
    """Save the state after so many steps: rank 0 does, and where models are sharded all ranks do."""
    settings = run.job.training
    if not run.ranks.is_first and not settings.shard:
        return
    run.records.flush(done)
    what = run.kept, run.totals, settings.keep_checkpoints, run.records.parts, pending_tensors(run.pending)
    save_state(run.job.state_dir, done, *what, run.ranks if settings.shard else None)
    run.clock.lap("checkpoint")


def _evaluate(run: LiveRun, step: int) -> None:
    """Measure the learner: all ranks take part, and the first one writes down what it found."""
    if run.job.evaluate is None:
        return
    learner = run.job.task.models[LEARNER].module
    with run.whole():
        with keeping_random_state(run.device), evaluating(learner), torch.no_grad(), run.job.task.shown() as model:
            metrics = run.job.evaluate(model)
        if run.ranks.is_first:
            _note(run, step, metrics)


def _note(run: LiveRun, step: int, metrics: dict[str, float]) -> None:
    for name, value in metrics.items():
        run.records.add("evaluations", {"step": step, "name": name, "value": float(value), "split": "validation"})
    keep_best(run.job, step, metrics, run.records)
