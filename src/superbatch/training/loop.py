"""The training loop: reads super-batches in order, chooses, trains, records, checkpoints, evaluates."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from collections.abc import Callable
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
from superbatch.training.distributed import Ranks, joined
from superbatch.training.exchange import collect, deal
from superbatch.training.flops import ForwardFlops, count_forward, step_flops
from superbatch.training.gradients import Trainee
from superbatch.training.job import Job, TrainResult
from superbatch.training.loader import make_loader
from superbatch.training.optimizer import learning_rate, make_optimizer, set_learning_rate
from superbatch.training.plan import describe, seconds_per_flop, sentence
from superbatch.training.records import NoRecords, Records
from superbatch.training.signals import Stop, noting_signals
from superbatch.training.source import Slice, SuperBatches
from superbatch.training.state import (
    RECORDS,
    Resumed,
    Totals,
    last_step,
    load_state,
    resume,
    save_state,
    state_of,
    take_state_from,
)
from superbatch.training.step import Batch, Measured, Towers, choose, score, score_slice, train_step
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
    ranks: Ranks
    order: Order
    backward: Callable[[Batch], torch.Tensor] | None  # None: the whole batch here, in one graph

    def rows(self, step: int) -> np.ndarray:
        """Return the rows of a step's whole super-batch, int64 (B,)."""
        return self.job.source.manifest_rows(self.order.rows(step))


def train(job: Job) -> TrainResult:
    """Train a job to its end, continuing from its last state if it has one; as a rank, where the environment says so.

    Returns the staged checkpoint and records, which wait in the job's state folder until they are published.

    Raises:
        UserError: B over the rows, a selection that needs a reference and has none, a foreign `resume_from`, a bad step.
        Interrupted: SIGTERM or SIGINT asked to stop; the state of the last finished step is saved.
    """
    with joined(job.training.device) as ranks:
        return _train(job, ranks)


def _train(job: Job, ranks: Ranks) -> TrainResult:
    order = Order(job.training.seed, job.source.num_rows, job.super_batch_size, job.training.shuffle_window)
    if job.selection.method != "uniform" and job.selection.criterion != "hard_learner" and job.reference is None:
        raise UserError(
            "selection.criterion",
            f"{job.selection.criterion} needs the reference's embeddings",
            "run the embed stage first",
        )
    made_from = commit()  # now: the working tree may be another one when the run ends
    run, first = _start(job, ranks, order)
    rate = seconds_per_flop(run.towers, _probe(run, order), run.forward) / ranks.world
    plan = describe(job, order, run.forward, rate) | {"ranks": ranks.world}
    log.info(sentence(job, plan))
    log.info("%s: to follow it: tail -F %s", job.name, run.records.tail)
    if first == 0:
        _evaluate(run, 0)
    with noting_signals(say=ranks.world == 1) as stop:  # ranks are stopped by their launch, also when one has died
        try:
            _take_steps(run, first, stop)
        except Exception as error:
            if stop.signum is None or isinstance(error, UserError):  # a full disk has its own line
                raise
            # The signal reached the loader's workers too, and they obeyed at once.
            raise _interrupted(job, stop.signum, last_step(job.state_dir)) from None
        asked = ranks.most(stop.signum or 0)
        if asked:  # it came while the last state was saved
            raise _interrupted(job, asked, last_step(job.state_dir))
    ended = finish(job, run.records, run.totals, run.forward, plan, made_from) if ranks.is_first else None
    result = ranks.tell(ended)
    assert result is not None, "rank 0 tells"
    return result


def _take_steps(run: Run, first: int, stop: Stop) -> None:
    """Train from step `first` to the end, or to the step in which somebody asked to stop."""
    job, settings, live = run.job, run.job.training, LiveLine()
    source = SuperBatches(job.source, run.order if run.ranks.world == 1 else Slice(run.order, run.ranks))
    loader = make_loader(source, first, settings.steps, settings.workers, run.device)
    with progress(total=settings.steps, description=job.name, unit="step") as bar:
        bar.update(first)
        run.clock.lap("start")
        for step, (rows, pixels, ids) in zip(range(first, settings.steps), loader, strict=True):
            batch = Batch(rows, pixels.to(run.device, non_blocking=True), ids.to(run.device, non_blocking=True))
            run.clock.lap("data")
            row = _step(run, step, batch)
            # Once: a signal that comes while the state is saved is for the next step. One rank's signal stops all at the same step.
            asked = run.ranks.most(stop.signum or 0)
            _after_step(run, step + 1, asked > 0)
            bar.set_postfix_str(live.text(row), refresh=False)
            bar.update()
            if asked:
                run.ranks.tell(None)  # the others stay until rank 0 has saved
                raise _interrupted(job, asked, step + 1)
            run.clock.lap("rest")


def _interrupted(job: Job, signum: int, step: int) -> Interrupted:
    kept = f"the state of step {step:,} is kept" if step else "no step was saved yet"
    name, way = signal.Signals(signum).name, " without training.fresh" if job.training.fresh else ""
    return Interrupted(f"{job.name}: stopped by {name}, {kept}; to continue, give the same command again{way}", signum)


def _start(job: Job, ranks: Ranks, order: Order) -> tuple[Run, int]:
    """Set the machine up, look for a state under the job's own hash, and return the run with its first step."""
    if job.training.threads or ranks.world > 1:
        torch.set_num_threads(job.training.threads or max(1, torch.get_num_threads() // ranks.neighbours))
    device = pick_device(job.training.device)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it matrix products may differ by stream
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.use_deterministic_algorithms(True, warn_only=True)
    model = job.clip.model.to(device).train()
    if job.training.checkpoint_activations:
        model.set_grad_checkpointing(True)
    optimizer = make_optimizer(model, job.training.optimizer)
    torch.manual_seed(
        job.training.seed
    )  # a model with dropout draws from the global state, which a resumed run restores
    start = _continue(job, ranks, optimizer)
    directory = job.state_dir / RECORDS
    word = f"continues at step {start.step:,}" if start.step else "starts afresh"
    log.info("%s: run hash %s %s", job.name, job.run_hash, word)
    forward = count_forward(job.clip)
    towers = Towers.of(job.clip, device, job.training.precision, job.training.compile)
    records = Records(directory, start.step, start.parts) if ranks.is_first else NoRecords(directory)
    watch = BadSteps.after(records.read("ledger"), job.training) if ranks.is_first else None
    watch, backward = ranks.tell(watch), _backward(job, ranks, towers)
    assert watch is not None, "rank 0 tells"
    totals, clock = start.totals, Clock(device)
    return Run(
        job, device, towers, optimizer, forward, records, totals, clock, watch, ranks, order, backward
    ), start.step


def _continue(job: Job, ranks: Ranks, optimizer: torch.optim.Optimizer) -> Resumed:
    """Load the run's last state; rank 0 finds it, and alone removes what is damaged or not wanted."""
    start = None
    if ranks.is_first:
        if job.training.fresh:
            shutil.rmtree(job.state_dir, ignore_errors=True)
        if job.training.resume_from:
            take_state_from(Path(job.training.resume_from), job.state_dir, job.full_identity)
        job.state_dir.mkdir(parents=True, exist_ok=True)
        write_json(job.state_dir / "identity.json", job.full_identity)
        start = resume(job.state_dir, job.clip.model, optimizer)
    start = ranks.tell(start)
    assert start is not None, "rank 0 tells"
    if start.step and not ranks.is_first:
        load_state(state_of(job.state_dir, start.step), job.clip.model, optimizer)
    return start


def _backward(job: Job, ranks: Ranks, towers: Towers) -> Callable[[Batch], torch.Tensor] | None:
    """Return what leaves the gradients of a batch that is cut over ranks or micro-batches; None where it is not."""
    settings = job.training
    if ranks.world == 1 and settings.accumulate == 1:
        return None
    if settings.batch_size < ranks.world * settings.accumulate:
        raise UserError(
            "training.batch_size",
            f"{settings.batch_size} pairs cannot be dealt to {ranks.world * settings.accumulate} micro-batches",
            "start fewer processes, or lower training.accumulate",
        )
    trainee = Trainee(towers, ranks, settings.loss, settings.accumulate)
    return lambda batch: trainee.backward(batch, settings.batch_size)


def _probe(run: Run, order: Order) -> Batch:
    """Read a few samples of the first super-batch, for timing: not all of it, which may be hundreds of thousands."""
    rows, pixels, ids = SuperBatches(run.job.source, order).read(order.rows(0)[:PROBE])
    return Batch(rows, pixels.to(run.device), ids.to(run.device))


def _step(run: Run, step: int, batch: Batch) -> dict[str, Any]:
    """Score, choose, train and record one step; returns its row of the ledger."""
    job, settings, clock = run.job, run.job.training, run.clock
    lr = learning_rate(step, settings.steps, settings.optimizer)
    set_learning_rate(run.optimizer, lr)
    ranks, scores = run.ranks, _learner_scores(job)
    learner = score(run.towers, batch, score_slice(settings, run.device)) if scores else None
    clock.lap("score")
    rows = batch.rows if ranks.world == 1 else run.rows(step)
    chosen, selection, b = batch, None, settings.batch_size
    if job.selection.method != "uniform":
        rule, key = job.selection, (settings.loss, settings.seed, step)
        selection = choose(learner, job.reference, batch.rows, b, rule, *key, ranks)
        chosen = deal(ranks, batch, rows, selection.indices)
    clock.lap("select")
    measured = train_step(run.towers, chosen, run.optimizer, settings, run.watch.verdict, run.backward)
    clock.lap("train")
    _count(run, len(rows) if scores else 0)
    row = _record(run, step, lr, measured, rows, selection)
    run.watch.note(measured.loss, measured.bad is not None)
    if measured.bad is not None:
        _bad_step(run, step, measured.bad, chosen)
    return row


def _bad_step(run: Run, step: int, reason: str, chosen: Batch) -> None:
    """Keep the rows of a step that was not taken; then go on or stop, as the settings say."""
    job, settings = run.job, run.job.training
    chosen, found = collect(run.ranks, chosen, settings.batch_size), ""
    if run.ranks.is_first:
        file, worst = save_bad_rows(job, run.towers, chosen, step, reason, run.records.directory)
        found = f"{reason} at step {step:,}; worst: {worst}; all {len(chosen)} rows are in {shown(file)}"
    found = run.ranks.tell(found)
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
    rows: np.ndarray,
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
    run.records.add_table("picks", picks(step, rows, selection, run.job.training.seed))
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
    if run.ranks.is_first and (last or done % settings.checkpoint_every == 0 or stopping):
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
    if run.job.evaluate is None or not run.ranks.is_first:
        return
    with evaluating(run.job.clip.model) as model, torch.no_grad(), full_vocabulary(model, run.job.vocabulary):
        metrics = run.job.evaluate(run.job.clip)
    for name, value in metrics.items():
        run.records.add("evaluations", {"step": step, "name": name, "value": float(value), "split": "validation"})
    keep_best(run.job, step, metrics)
