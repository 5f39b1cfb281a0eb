"""The training loop: reads super-batches in order, chooses, trains, records, checkpoints, evaluates."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from superbatch.data.order import Order
from superbatch.errors import Interrupted, UserError
from superbatch.files import shown, write_json
from superbatch.models import ClipModel, evaluating, pick_device
from superbatch.models.vocabulary import full_vocabulary
from superbatch.progress import progress
from superbatch.selection import Selection
from superbatch.training.bad_rows import save_bad_rows
from superbatch.training.best import keep_best
from superbatch.training.chosen import ChosenRows
from superbatch.training.distributed import Ranks, joined
from superbatch.training.exchange import collect, deal
from superbatch.training.flops import Forwards, count_forward, step_flops
from superbatch.training.gradients import Trainee
from superbatch.training.job import Job, TrainResult
from superbatch.training.loader import make_loader
from superbatch.training.optimizer import learning_rate, make_optimizer, set_learning_rate
from superbatch.training.pending import Pick, pending_tensors, restore
from superbatch.training.plan import describe, seconds_per_flop, sentence
from superbatch.training.records import NoRecords, Records
from superbatch.training.signals import Stop, noting_signals
from superbatch.training.source import Slice, SuperBatches
from superbatch.training.state import (
    LEARNER,
    PROXY,
    RECORDS,
    Models,
    Resumed,
    Totals,
    last_step,
    load_state,
    resume,
    save_state,
    state_of,
    take_state_from,
)
from superbatch.training.step import Batch, Measured, Towers, Trained, choose, score, score_slice, train_step
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
    models: Models
    trained: list[Trained]  # the same: the learner, and its proxy where there is one
    forwards: Forwards
    records: Records
    totals: Totals
    clock: Clock
    ranks: Ranks
    order: Order
    pending: deque[Pick]  # chosen, not trained on yet; in order of steps
    scored: int = 0  # samples since the last step was counted

    @property
    def learner(self) -> Trained:
        """The model that the run is for."""
        return self.trained[0]

    @property
    def scorer(self) -> Trained:
        """The model whose losses choose: the proxy where there is one, else the learner."""
        return self.trained[-1]

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
    rate = seconds_per_flop(run.learner.towers, _probe(run, order), run.forwards.learner) / ranks.world
    plan = describe(job, order, run.forwards, rate) | {"ranks": ranks.world}
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
    ended = finish(job, run.records, run.totals, run.forwards, plan, made_from) if ranks.is_first else None
    result = ranks.tell(ended)
    assert result is not None, "rank 0 tells"
    return result


def _take_steps(run: Run, first: int, stop: Stop) -> None:
    """Train from step `first` to the end, or to the step in which somebody asked to stop."""
    job, settings, live = run.job, run.job.training, LiveLine()
    with progress(total=settings.steps, description=job.name, unit="step") as bar:
        bar.update(first)
        run.clock.lap("start")
        for pick in _picks(run, first):
            step = pick.step
            row = _step(run, pick)
            # Once: a signal that comes while the state is saved is for the next step. One rank's signal stops all at the same step.
            asked = run.ranks.most(stop.signum or 0)
            _after_step(run, step + 1, asked > 0)
            bar.set_postfix_str(live.text(row), refresh=False)
            bar.update()
            if asked:
                run.ranks.tell(None)  # the others stay until rank 0 has saved
                raise _interrupted(job, asked, step + 1)
            run.clock.lap("rest")


def _picks(run: Run, first: int) -> Iterator[Pick]:
    """Read, choose and yield the batches of the steps from `first`, each k = `stale_steps` steps after it was chosen.

    Whoever asks for the next one has trained on the last: so the weights that choose for a step are those of k steps before it, or the
    starting ones. The last k steps read and score nothing.
    """
    job, settings, chosen = run.job, run.job.training, _chosen_rows(run)
    source = SuperBatches(job.source, chosen or (run.order if run.ranks.world == 1 else Slice(run.order, run.ranks)))
    ahead = range(first + len(run.pending), settings.steps)
    loader = make_loader(source, ahead.start, ahead.stop, settings.workers, run.device)
    for step, (rows, pixels, ids) in zip(ahead, loader, strict=True):
        batch = Batch(rows, pixels.to(run.device, non_blocking=True), ids.to(run.device, non_blocking=True))
        run.clock.lap("data")
        run.pending.append(_chosen(run, chosen, step, batch) if chosen else _choose(run, step, batch))
        if len(run.pending) > job.selection.stale_steps:
            yield run.pending.popleft()
    while run.pending:
        yield run.pending.popleft()


def _chosen_rows(run: Run) -> ChosenRows | None:
    """Return the order of what the reference alone chooses, of which nothing but the chosen is read; None where a model scores."""
    job, settings = run.job, run.job.training
    if job.selection.method == "uniform" or job.selection.scores:
        return None

    def select(step: int, positions_B: np.ndarray) -> Selection:
        run.clock.lap("data")  # the loader asks, amid its reading
        rows, rule, key = job.source.manifest_rows(positions_B), job.selection, (settings.loss, settings.seed, step)
        selection = choose(None, job.reference, rows, settings.batch_size, rule, *key, device=run.device)
        run.clock.lap("select")
        return selection

    return ChosenRows(run.order, select, settings.batch_size, run.ranks)


def _chosen(run: Run, chosen: ChosenRows, step: int, batch: Batch) -> Pick:
    """Put what was read of a step's chosen beside how they were chosen."""
    positions_B, selection = chosen.take(step)
    return Pick(step, batch, run.job.source.manifest_rows(positions_B), selection)


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
    models = _models(job, device)
    # A model with dropout draws from the global state, which a resumed run restores.
    torch.manual_seed(job.training.seed)
    start = _continue(job, ranks, models)
    directory = job.state_dir / RECORDS
    word = f"continues at step {start.step:,}" if start.step else "starts afresh"
    log.info("%s: run hash %s %s", job.name, job.run_hash, word)
    forwards = Forwards(count_forward(job.clip), count_forward(job.proxy) if job.proxy else None)
    records = Records(directory, start.step, start.parts) if ranks.is_first else NoRecords(directory)
    trained = _trained(job, ranks, device, records, models)
    clock = Clock(device)
    pending = restore(start.pending, job.source, order, ranks, device, job.selection.gain)
    run = Run(job, device, models, trained, forwards, records, start.totals, clock, ranks, order, deque(pending))
    return run, start.step


def _models(job: Job, device: torch.device) -> Models:
    """Put what is trained on the device, each with its optimiser; the proxy has the learner's settings and schedule."""
    models: Models = {}
    for prefix, clip in _clips(job).items():
        model = clip.model.to(device).train()
        if job.training.checkpoint_activations:
            model.set_grad_checkpointing(True)
        models[prefix] = (model, make_optimizer(model, job.training.optimizer))
    return models


def _clips(job: Job) -> dict[str, ClipModel]:
    return {LEARNER: job.clip} | ({PROXY: job.proxy} if job.proxy is not None else {})


def _trained(job: Job, ranks: Ranks, device: torch.device, records: Records, models: Models) -> list[Trained]:
    """Return the learner, and its proxy where there is one; what they watch for follows from the ledger."""
    ledger, settings = records.read("ledger") if ranks.is_first else None, job.training
    trained = []
    for prefix, clip in _clips(job).items():
        part, column, whose = ("proxy", "loss_proxy", "the proxy's") if prefix == PROXY else ("train", "loss", "the")
        watch = ranks.tell(None if ledger is None else BadSteps.after(ledger, settings, column, whose))
        assert watch is not None, "rank 0 tells"
        towers = Towers.of(clip, device, settings.precision, settings.compile)
        trained.append(Trained(towers, models[prefix][1], _backward(job, ranks, towers), watch, part))
    return trained


def _continue(job: Job, ranks: Ranks, models: Models) -> Resumed:
    """Load the run's last state; rank 0 finds it, and alone removes what is damaged or not wanted."""
    start = None
    if ranks.is_first:
        if job.training.fresh:
            shutil.rmtree(job.state_dir, ignore_errors=True)
        if job.training.resume_from:
            take_state_from(Path(job.training.resume_from), job.state_dir, job.full_identity)
        job.state_dir.mkdir(parents=True, exist_ok=True)
        write_json(job.state_dir / "identity.json", job.full_identity)
        start = resume(job.state_dir, models)
    start = ranks.tell(start)
    assert start is not None, "rank 0 tells"
    if start.step and not ranks.is_first:
        load_state(state_of(job.state_dir, start.step), models)
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


def _choose(run: Run, step: int, batch: Batch) -> Pick:
    """Score a super-batch with the present weights and choose the batch of its step; uniform takes it whole."""
    job, settings, ranks = run.job, run.job.training, run.ranks
    rows = batch.rows if ranks.world == 1 else run.rows(step)
    if job.selection.method == "uniform":
        return Pick(step, batch, rows, None)
    scorer = "learner" if job.proxy is None else "proxy"
    scores = score(run.scorer.towers, batch, score_slice(settings, run.device), scorer)
    run.clock.lap("score")
    rule, key = job.selection, (settings.loss, settings.seed, step)
    selection = choose(scores, job.reference, batch.rows, settings.batch_size, rule, *key, ranks)
    pick = Pick(step, deal(ranks, batch, rows, selection.indices), rows, selection)
    run.scored += len(rows)
    run.clock.lap("select")
    return pick


def _step(run: Run, pick: Pick) -> dict[str, Any]:
    """Train on a pick and record its step; returns its row of the ledger."""
    settings = run.job.training
    lr = learning_rate(pick.step, settings.steps, settings.optimizer)
    for one in run.trained:
        set_learning_rate(one.optimizer, lr)
    found = train_step(run.trained, pick.batch, settings, run.clock.lap)
    bad = next((pair for pair in zip(run.trained, found, strict=True) if pair[1].bad is not None), None)
    _count(run)
    row = _record(run, pick, lr, found)
    for one, measured in zip(run.trained, found, strict=True):
        one.watch.note(measured.loss, bad is not None)
    if bad is not None:
        _bad_step(run, pick.step, bad[1].bad or "", bad[0].towers, pick.batch)
    return row


def _bad_step(run: Run, step: int, reason: str, towers: Towers, chosen: Batch) -> None:
    """Keep the rows of a step that was not taken, as the model that it was bad for sees them; then go on or stop, as the settings say."""
    job, settings = run.job, run.job.training
    chosen, found = collect(run.ranks, chosen, settings.batch_size), ""
    if run.ranks.is_first:
        file, worst = save_bad_rows(job, towers, chosen, step, reason, run.records.directory)
        found = f"{reason} at step {step:,}; worst: {worst}; all {len(chosen)} rows are in {shown(file)}"
    found = run.ranks.tell(found)
    if settings.on_bad_step == "stop":
        raise UserError(
            job.name, found, "lower training.optimizer.learning_rate, or set training.on_bad_step to skip such steps"
        )
    if run.learner.watch.in_a_row >= MOST_SKIPPED:
        raise UserError(
            job.name, f"{MOST_SKIPPED} bad steps in a row; {found}", "lower training.optimizer.learning_rate"
        )
    log.warning("%s: skipped a step: %s", job.name, found)


def _count(run: Run) -> None:
    """Add a step's samples and operations, with what was scored since the last one."""
    b, forwards, totals, scored = run.job.training.batch_size, run.forwards, run.totals, run.scored
    forward, proxy = forwards.learner.total, forwards.proxy.total if forwards.proxy else 0.0
    same_weights = run.job.proxy is None and run.job.selection.stale_steps == 0
    totals.samples_scored += scored
    totals.samples_trained += b
    totals.flops_as_executed += step_flops(forward, b, scored, scored=scored > 0, reuse=False, proxy=proxy)
    totals.flops_paper += step_flops(forward, b, scored, scored=scored > 0, reuse=same_weights, proxy=proxy)
    run.scored = 0


def _record(run: Run, pick: Pick, lr: float, found: list[Measured]) -> dict[str, Any]:
    scale, bias = run.job.clip.scale_and_bias()
    seconds, totals, selection = run.clock.row(), run.totals, pick.selection
    totals.seconds += sum(seconds.values())
    row: dict[str, Any] = {
        "step": pick.step,
        "learning_rate": lr,
        "scale": scale,
        "bias": bias,
        "loss": found[0].loss,
        "loss_proxy": found[1].loss if run.job.proxy else None,
        "gradient_norm": found[0].gradient_norm,
        "skipped": any(measured.bad is not None for measured in found),
        **seconds,
        **memory(run.device),
        "flops_scoring": run.forwards.scoring(totals.samples_scored),
        "flops_proxy": run.forwards.training_proxy(totals.samples_trained),
    }
    row |= {k: v for k, v in vars(totals).items() if k != "seconds"}
    row["score_super_batch"] = selection.mean_score_superbatch if selection else None
    row["score_pick"] = selection.mean_score_pick if selection else None
    run.records.add("ledger", row)
    run.records.add_table("picks", picks(pick.step, pick.rows_B, selection, run.job.training.seed))
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
            run.models,
            run.totals,
            settings.keep_checkpoints,
            run.records.parts,
            pending_tensors(run.pending),
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
