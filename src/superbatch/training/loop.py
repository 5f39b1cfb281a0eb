"""The training loop: reads super-batches in order, chooses, trains, records, checkpoints, evaluates."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from superbatch.data.order import Order
from superbatch.errors import Interrupted, UserError
from superbatch.files import shown, write_json
from superbatch.models import evaluating, pick_device
from superbatch.models.vocabulary import full_vocabulary
from superbatch.progress import progress
from superbatch.selection import Selection
from superbatch.training.bad_rows import save_bad_rows
from superbatch.training.best import keep_best
from superbatch.training.flops import ForwardFlops, count_forward, step_flops
from superbatch.training.job import Job, TrainResult
from superbatch.training.loader import make_loader
from superbatch.training.optimizer import learning_rate, make_optimizer, set_learning_rate
from superbatch.training.plan import describe, seconds_per_flop, sentence
from superbatch.training.records import Records
from superbatch.training.signals import Stop, noting_signals
from superbatch.training.source import SuperBatches
from superbatch.training.state import RECORDS, Totals, last_step, resume, save_state, take_state_from
from superbatch.training.step import Batch, Measured, Towers, choose, score, train_step
from superbatch.training.summary import commit, finish
from superbatch.training.watch import MOST_SKIPPED, BadSteps, Clock, LiveLine, memory

log = logging.getLogger(__name__)
PROBE = 32  # samples whose forward pass is timed to tell a run's length
PASSED_OVER = 32  # how many of the samples that were not chosen are recorded at each step


@dataclass
class Run:
    """A job under way: what the steps share and change."""

    job: Job
    device: torch.device
    towers: Towers
    optimizer: torch.optim.Optimizer
    forward: ForwardFlops
    records: Records
    totals: Totals
    clock: Clock
    watch: BadSteps


def train(job: Job) -> TrainResult:
    """Train a job to its end, continuing from its last state if it has one.

    Returns the staged checkpoint and records, which wait in the job's state folder until they are published.

    Raises:
        UserError: B over the rows, a selection that needs a reference and has none, a foreign `resume_from`, a bad step.
        Interrupted: SIGTERM or SIGINT asked to stop; the state of the last finished step is saved.
    """
    order = Order(job.training.seed, job.source.num_rows, job.super_batch_size, job.training.shuffle_window)
    if job.selection.method != "uniform" and job.selection.criterion != "hard_learner" and job.reference is None:
        raise UserError(
            "selection.criterion",
            f"{job.selection.criterion} needs the reference's embeddings",
            "run the embed stage first",
        )
    made_from = commit()  # now: the working tree may be another one when the run ends
    run, first = _start(job)
    plan = describe(job, order, run.forward, seconds_per_flop(run.towers, _probe(run, order), run.forward))
    log.info(sentence(job, plan))
    log.info("%s: to follow it: tail -F %s", job.name, run.records.tail)
    if first == 0:
        _evaluate(run, 0)
    with noting_signals() as stop:
        try:
            _take_steps(run, order, first, stop)
        except Exception as error:
            if stop.signum is None or isinstance(error, UserError):  # a full disk has its own line
                raise
            # The signal reached the loader's workers too, and they obeyed at once.
            raise _interrupted(job, stop.signum, last_step(job.state_dir)) from None
        if stop.signum is not None:  # it came while the last state was saved
            raise _interrupted(job, stop.signum, last_step(job.state_dir))
    return finish(job, run.records, run.totals, run.forward, plan, made_from)


def _take_steps(run: Run, order: Order, first: int, stop: Stop) -> None:
    """Train from step `first` to the end, or to the step in which somebody asked to stop."""
    job, settings, live = run.job, run.job.training, LiveLine()
    source = SuperBatches(job.source, order)
    loader = make_loader(source, first, settings.steps, settings.workers, run.device)
    with progress(total=settings.steps, description=job.name, unit="step") as bar:
        bar.update(first)
        run.clock.lap("start")
        for step, (rows, pixels, ids) in zip(range(first, settings.steps), loader, strict=True):
            batch = Batch(rows, pixels.to(run.device, non_blocking=True), ids.to(run.device, non_blocking=True))
            run.clock.lap("data")
            row = _step(run, step, batch)
            asked = stop.signum  # once: a signal that comes while the state is saved is for the next step
            _after_step(run, step + 1, asked is not None)
            bar.set_postfix_str(live.text(row), refresh=False)
            bar.update()
            if asked is not None:
                raise _interrupted(job, asked, step + 1)
            run.clock.lap("rest")


def _interrupted(job: Job, signum: int, step: int) -> Interrupted:
    kept = f"the state of step {step:,} is kept" if step else "no step was saved yet"
    name, way = signal.Signals(signum).name, " without training.fresh" if job.training.fresh else ""
    return Interrupted(f"{job.name}: stopped by {name}, {kept}; to continue, give the same command again{way}", signum)


def _start(job: Job) -> tuple[Run, int]:
    """Set the machine up, look for a state under the job's own hash, and return the run with its first step."""
    if job.training.threads:
        torch.set_num_threads(job.training.threads)
    device = pick_device(job.training.device)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it matrix products may differ by stream
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.use_deterministic_algorithms(True, warn_only=True)
    if job.training.fresh:
        shutil.rmtree(job.state_dir, ignore_errors=True)
    if job.training.resume_from:
        take_state_from(Path(job.training.resume_from), job.state_dir, job.full_identity)
    model = job.clip.model.to(device).train()
    optimizer = make_optimizer(model, job.training.optimizer)
    job.state_dir.mkdir(parents=True, exist_ok=True)
    write_json(job.state_dir / "identity.json", job.full_identity)
    torch.manual_seed(
        job.training.seed
    )  # a model with dropout draws from the global state, which a resumed run restores
    start = resume(job.state_dir, model, optimizer)
    word = f"continues at step {start.step:,}" if start.step else "starts afresh"
    log.info("%s: run hash %s %s", job.name, job.run_hash, word)
    towers = Towers.of(job.clip, device, job.training.precision)
    records = Records(job.state_dir / RECORDS, start.step, start.parts)
    watch = BadSteps.after(records.read("ledger"), job.training)
    forward = count_forward(job.clip)
    return Run(job, device, towers, optimizer, forward, records, start.totals, Clock(device), watch), start.step


def _probe(run: Run, order: Order) -> Batch:
    """Read a few samples of the first super-batch, for timing: not all of it, which may be hundreds of thousands."""
    rows, pixels, ids = SuperBatches(run.job.source, order).read(order.rows(0)[:PROBE])
    return Batch(rows, pixels.to(run.device), ids.to(run.device))


def _step(run: Run, step: int, batch: Batch) -> dict[str, Any]:
    """Score, choose, train and record one step; returns its row of the ledger."""
    job, settings, clock = run.job, run.job.training, run.clock
    lr = learning_rate(step, settings.steps, settings.optimizer)
    set_learning_rate(run.optimizer, lr)
    learner = score(run.towers, batch, settings.score_batch) if _learner_scores(job) else None
    clock.lap("score")
    selection = None
    if job.selection.method != "uniform":
        selection = choose(
            learner, job.reference, batch.rows, settings.batch_size, job.selection, settings.loss, settings.seed, step
        )
    chosen = batch if selection is None else batch.take(selection.indices)
    clock.lap("select")
    measured = train_step(run.towers, chosen, run.optimizer, settings, run.watch.verdict)
    clock.lap("train")
    _count(run, len(batch) if learner is not None else 0)
    row = _record(run, step, lr, measured, batch, selection)
    run.watch.note(measured.loss, measured.bad is not None)
    if measured.bad is not None:
        _bad_step(run, step, measured.bad, chosen)
    return row


def _bad_step(run: Run, step: int, reason: str, chosen: Batch) -> None:
    """Keep the rows of a step that was not taken; then go on or stop, as the settings say."""
    job, settings = run.job, run.job.training
    file, worst = save_bad_rows(job, run.towers, chosen, step, reason, run.records.directory)
    found = f"{reason} at step {step:,}; worst: {worst}; all {len(chosen)} rows are in {shown(file)}"
    if settings.on_bad_step == "stop":
        raise UserError(
            job.name, found, "lower training.optimizer.learning_rate, or set training.on_bad_step to skip such steps"
        )
    if run.watch.in_a_row >= MOST_SKIPPED:
        raise UserError(
            job.name, f"{MOST_SKIPPED} bad steps in a row; {found}", "lower training.optimizer.learning_rate"
        )
    log.warning("%s: skipped a step: %s", job.name, found)


def _learner_scores(job: Job) -> bool:
    """Easy reference needs no pass of the learner; uniform none at all."""
    return job.selection.method != "uniform" and job.selection.criterion != "easy_reference"


def _count(run: Run, scored: int) -> None:
    b, forward, totals = run.job.training.batch_size, run.forward.total, run.totals
    totals.samples_scored += scored
    totals.samples_trained += b
    totals.flops_as_executed += step_flops(forward, b, scored, scored=scored > 0, reuse=False)
    totals.flops_paper += step_flops(forward, b, scored, scored=scored > 0, reuse=True)


def _record(
    run: Run,
    step: int,
    lr: float,
    measured: Measured,
    batch: Batch,
    selection: Selection | None,
) -> dict[str, Any]:
    scale, bias = run.job.clip.scale_and_bias()
    seconds = run.clock.row()
    run.totals.seconds += sum(seconds.values())
    row: dict[str, Any] = {
        "step": step,
        "learning_rate": lr,
        "scale": scale,
        "bias": bias,
        "loss": measured.loss,
        "gradient_norm": measured.gradient_norm,
        "skipped": measured.bad is not None,
        **seconds,
        **memory(run.device),
    }
    row |= {k: v for k, v in vars(run.totals).items() if k != "seconds"}
    row["score_super_batch"] = selection.mean_score_superbatch if selection else None
    row["score_pick"] = selection.mean_score_pick if selection else None
    run.records.add("ledger", row)
    run.records.add_table("picks", picks(step, batch.rows, selection, run.job.training.seed))
    return row


def picks(step: int, rows: np.ndarray, selection: Selection | None, seed: int) -> dict[str, np.ndarray]:
    """Return the rows chosen at a step with their scores, and a sample of those passed over, as columns."""
    if selection is None:
        return {
            "step": np.full(len(rows), step),
            "row": rows,
            "score": np.full(len(rows), np.nan),
            "chosen": np.ones(len(rows), bool),
        }
    indices = selection.indices.cpu().numpy()
    passed = np.setdiff1d(np.arange(len(rows)), indices)
    passed = np.random.default_rng((seed, step)).permutation(passed)[:PASSED_OVER]
    shown = np.concatenate([indices, passed])
    scores = selection.scores.cpu().numpy().astype(np.float64)
    return {
        "step": np.full(len(shown), step),
        "row": rows[shown],
        "score": scores[shown],
        "chosen": np.arange(len(shown)) < len(indices),
    }


def _after_step(run: Run, done: int, stopping: bool) -> None:
    """Evaluate and checkpoint where it is time; the last step does both, and one after which the run stops saves its state."""
    settings = run.job.training
    last = done == settings.steps
    if last or done % settings.evaluate_every == 0:
        _evaluate(run, done)
    run.clock.lap("rest")
    if last or done % settings.checkpoint_every == 0 or stopping:
        run.records.flush(done)
        save_state(
            run.job.state_dir,
            done,
            run.job.clip.model,
            run.optimizer,
            run.totals,
            settings.keep_checkpoints,
            run.records.parts,
        )
        run.clock.lap("checkpoint")


def _evaluate(run: Run, step: int) -> None:
    if run.job.evaluate is None:
        return
    with evaluating(run.job.clip.model) as model, torch.no_grad(), full_vocabulary(model, run.job.vocabulary):
        metrics = run.job.evaluate(run.job.clip)
    for name, value in metrics.items():
        run.records.add("evaluations", {"step": step, "name": name, "value": float(value), "split": "validation"})
    keep_best(run.job, step, metrics)
