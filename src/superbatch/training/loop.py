"""The training loop: reads super-batches in order, chooses, trains, records, checkpoints, evaluates."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from superbatch.data.order import Order
from superbatch.errors import UserError
from superbatch.files import write_json
from superbatch.models import pick_device
from superbatch.models.vocabulary import full_vocabulary
from superbatch.progress import progress
from superbatch.selection import Selection
from superbatch.training.flops import ForwardFlops, count_forward, step_flops
from superbatch.training.job import Job, TrainResult
from superbatch.training.loader import make_loader
from superbatch.training.optimizer import learning_rate, make_optimizer, set_learning_rate
from superbatch.training.plan import describe, seconds_per_flop, sentence
from superbatch.training.records import Records
from superbatch.training.source import SuperBatches
from superbatch.training.state import Totals, resume, save_state, take_state_from
from superbatch.training.step import Batch, Towers, choose, score, train_step
from superbatch.training.summary import commit, finish

log = logging.getLogger(__name__)
PROBE = 32  # samples whose forward pass is timed to tell a run's length
PASSED_OVER = 32  # how many of the samples that were not chosen are recorded at each step


class Clock:
    """Splits a step's time into named parts; waits for the device where there is one to wait for."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """Book the time since the last lap under a name."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds[f"seconds_{part}"] = now - self._last
        self._last = now


@dataclass
class Run:
    """A job under way: what the steps share and change."""

    job: Job
    device: torch.device
    towers: Towers
    optimizer: torch.optim.Optimizer
    forward: ForwardFlops
    records: Records
    totals: Totals = field(default_factory=Totals)


def train(job: Job) -> TrainResult:
    """Train a job to its end, continuing from its last state if it has one.

    Returns the staged checkpoint and records, which wait in the job's state folder until they are published.

    Raises:
        UserError: B over the rows, a selection that needs a reference and has none, a foreign `resume_from`.
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
    loader = make_loader(SuperBatches(job.source, order), first, job.training.steps, job.training.workers, run.device)
    bar = progress(total=job.training.steps, description=job.name, unit="step")
    bar.update(first)
    clock = Clock(run.device)
    if first == 0:
        _evaluate(run, 0)
    for step, (rows, pixels, ids) in zip(range(first, job.training.steps), loader, strict=True):
        batch = Batch(rows, pixels.to(run.device, non_blocking=True), ids.to(run.device, non_blocking=True))
        clock.lap("data")
        _step(run, step, batch, clock)
        _after_step(run, step + 1)
        bar.update()
        clock.lap("checkpoint")
    bar.close()
    return finish(job, run.records, run.totals, run.forward, plan, made_from)


def _start(job: Job) -> tuple[Run, int]:
    """Set the machine up, look for a state under the job's own hash, and return the run with its first step."""
    if job.training.threads:
        torch.set_num_threads(job.training.threads)
    device = pick_device(job.training.device)
    if device.type == "cuda":
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
    first, totals = resume(job.state_dir, model, optimizer)
    word = f"continues at step {first:,}" if first else "starts afresh"
    log.info("%s: run hash %s %s", job.name, job.run_hash, word)
    towers = Towers.of(job.clip, device, job.training.precision)
    return Run(
        job, device, towers, optimizer, count_forward(job.clip), Records(job.state_dir / "records", first), totals
    ), first


def _probe(run: Run, order: Order) -> Batch:
    """Read a few samples of the first super-batch, for timing: not all of it, which may be hundreds of thousands."""
    rows, pixels, ids = SuperBatches(run.job.source, order).read(order.rows(0)[:PROBE])
    return Batch(rows, pixels.to(run.device), ids.to(run.device))


def _step(run: Run, step: int, batch: Batch, clock: Clock) -> None:
    """Score, choose, train and record one step."""
    job, settings = run.job, run.job.training
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
    measured = train_step(run.towers, chosen, run.optimizer, settings)
    clock.lap("train")
    _count(run, len(batch) if learner is not None else 0)
    _record(run, step, lr, measured, batch, selection, clock)


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
    measured: dict[str, torch.Tensor],
    batch: Batch,
    selection: Selection | None,
    clock: Clock,
) -> None:
    scale, bias = run.job.clip.scale_and_bias()
    seconds = {f"seconds_{part}": clock.seconds[f"seconds_{part}"] for part in ("data", "score", "select", "train")}
    run.totals.seconds += sum(seconds.values())
    row: dict[str, Any] = {
        "step": step,
        "learning_rate": lr,
        "scale": scale,
        "bias": bias,
        **{k: float(v) for k, v in measured.items()},
        **seconds,
    }
    row |= {k: v for k, v in vars(run.totals).items() if k != "seconds"}
    row["score_super_batch"] = selection.mean_score_superbatch if selection else None
    row["score_pick"] = selection.mean_score_pick if selection else None
    run.records.add("ledger", row)
    if not np.isfinite(row["loss"]):
        raise UserError(
            run.job.name, f"the loss is {row['loss']} at step {step}", "lower training.optimizer.learning_rate"
        )
    run.records.add_table("picks", picks(step, batch.rows, selection, run.job.training.seed))


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


def _after_step(run: Run, done: int) -> None:
    """Evaluate and checkpoint where it is time; the last step does both."""
    settings = run.job.training
    last = done == settings.steps
    if last or done % settings.evaluate_every == 0:
        _evaluate(run, done)
    if last or done % settings.checkpoint_every == 0:
        run.records.flush(done)
        save_state(run.job.state_dir, done, run.job.clip.model, run.optimizer, run.totals, settings.keep_checkpoints)


def _evaluate(run: Run, step: int) -> None:
    if run.job.evaluate is None:
        return
    model = run.job.clip.model
    model.eval()
    with torch.no_grad(), full_vocabulary(model, run.job.vocabulary):
        metrics = run.job.evaluate(run.job.clip)
    model.train()
    for name, value in metrics.items():
        run.records.add("evaluations", {"step": step, "name": name, "value": float(value), "split": "validation"})
