"""The plan of a run, shown before anything long starts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from superbatch.data.fields import Batch
from superbatch.data.order import Order
from superbatch.models import evaluating
from superbatch.options import Stretch
from superbatch.training.adapt import samples_measured
from superbatch.training.choosing import score_slice
from superbatch.training.flops import Samples
from superbatch.training.job import Job
from superbatch.training.live import LiveRun
from superbatch.training.machine import machine
from superbatch.training.picks import reading_phases
from superbatch.training.reading import slot_bytes
from superbatch.training.task import LEARNER

PROBE = 32  # samples whose forward pass is timed to tell a run's length: not a super-batch, which may be hundreds of thousands
REPEATS = 3  # repeats, of which the median is taken: on a busy machine one may be slow
ENOUGH = 1.0  # seconds after which it is not repeated
Plan = dict[str, Any]


def describe(run: LiveRun) -> Plan:
    """Return rows, B, b, steps, epochs, operations, expected seconds, memory and disk of a run; with a proxy, what it saves.

    Where B follows the learner, they are those of the largest, so at most as much.
    """
    job, order, account = run.job, run.job.order, run.account
    b, big_b, steps = job.training.batch_size, job.super_batch_size, job.training.steps
    probe = _probe(run)
    with run.whole():
        seconds, outputs = _forward(run, probe)
    samples = samples_of(run, range(steps))
    flops = account.total(samples)
    rate = seconds / ((account.forwards.learner + account.forwards.frozen) * len(probe)) / run.ranks.world
    parameters = sum(p.numel() for model in job.task.models.values() for p in model.module.parameters())
    shared = _reading_bytes(run, probe)
    saved = {"flops_saved_by_proxy": account.saved(samples.scored, samples.trained)} if _scorer_beside(run) else {}
    return {
        "rows": order.num_rows,
        "super_batch_size": big_b,
        "batch_size": b,
        **({"last_super_batch_size": order.size(steps - 1)} if order.candidates else {}),
        "steps": steps,
        "epochs": round(_epochs(order, steps), 2),
        "dropped_per_epoch": order.dropped_per_epoch,
        "flops_as_executed": flops,
        "flops_paper": account.total(samples, as_executed=False),
        "flops_over_uniform": round(account.over_uniform(samples), 4),
        **saved,
        "expected_seconds": round(flops * rate, 1),
        "parameters": parameters,
        "memory_mb": round((shared + _working_bytes(run, probe, outputs, parameters)) / 1e6),
        "shared_memory_mb": round(shared / 1e6) if job.training.workers else 0,
        "disk_mb": round((3 * 4 * parameters * job.training.keep_checkpoints + 20.0 * steps * (b + 32)) / 1e6, 1),
        "ranks": run.ranks.world,
    }


def _epochs(order: Order, steps: int) -> float:
    """How often the rows are gone through; where super-batches change their size, how often they are looked at."""
    return order.looked_at(range(steps)) / order.num_rows if order.candidates else steps / order.steps_per_epoch


def samples_of(run: LiveRun, steps: range) -> Samples:
    """Return what some steps do with how many samples, by the plan."""
    job = run.job
    scoring = [range(max(steps.start, part.start), min(steps.stop, part.stop)) for part in job.scoring]
    return Samples(
        trained=len(steps) * job.training.batch_size,
        scored=sum(map(job.order.looked_at, scoring)),
        measured=samples_measured(run, steps),
        chosen=sum(map(len, scoring)) * job.training.batch_size,
    )


def share_of_work(run: LiveRun, steps: range) -> float:
    """Return the share of a run's operations that some steps are."""
    whole = range(run.job.training.steps)
    return run.account.total(samples_of(run, steps)) / run.account.total(samples_of(run, whole))


def _scorer_beside(run: LiveRun) -> bool:
    return run.account.forwards.scorer != LEARNER


def _probe(run: LiveRun) -> Batch:
    """Read a few samples of the first super-batch, all fields of theirs."""
    names: dict[str, None] = {}  # in order, each once
    for _, rule in run.job.stretches:
        reads = run.job.task.reads_by(rule)
        names |= dict.fromkeys((*reads.training, *(() if rule.method == "uniform" else reads.scoring)))
    return run.job.source.read(names, run.order.rows(0)[:PROBE], 0).to(run.device)


@torch.no_grad()
def _forward(run: LiveRun, probe: Batch) -> tuple[float, Mapping[str, Tensor]]:
    """Time a small forward pass of the learner, after one that warms up."""
    task, seconds = run.job.task, list[float]()
    with evaluating(task.models[LEARNER].module):
        outputs = task.outputs(LEARNER, probe)
        while len(seconds) < REPEATS and sum(seconds) < ENOUGH:
            _wait(run.device)
            start = time.perf_counter()
            task.outputs(LEARNER, probe)
            _wait(run.device)
            seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), outputs


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reading_bytes(run: LiveRun, probe: Batch) -> int:
    """What batches take, those read ahead and the one in use; with workers it is shared memory."""
    one = probe.take(torch.zeros(1, dtype=torch.int64))
    workers = run.job.training.workers
    readers = [reading_phases(run.job, run.ranks, part).values() for part in run.job.stretches]  # one after the other
    return max(sum(slot_bytes(one.only(phase.fields), phase, workers) for phase in phases) for phases in readers)


def _working_bytes(run: LiveRun, probe: Batch, outputs: Mapping[str, Tensor], parameters: int) -> float:
    """Weights, gradients and two moments, or this rank's part and at times all weights; a slice of images as floats; outputs of the super-batch; picks that wait, and pairs to measure by."""
    job = run.job
    b, big_b = job.training.batch_size, job.super_batch_size
    embedded = max([b, *map(job.order.largest, job.scoring)])
    sample = probe.sample_bytes
    output = sum(tensor.nbytes for tensor in outputs.values() if tensor.ndim) / len(probe)
    at_once = score_slice(job.training, run.device, probe)
    waiting = job.selection.stale_steps * (b * sample + 16 * big_b)
    waiting += sample * (0 if job.source.aside is None else len(job.source.aside))
    held = 16 * parameters if run.shards is None else (16 / run.ranks.world + 4) * parameters
    return held + 4 * at_once * sample + 2 * output * embedded + waiting


def sentence(run: LiveRun, plan: Plan) -> str:
    """Say the plan in one line."""
    job, most = run.job, ""
    how = "no selection"
    if job.selection.method != "uniform":
        parts = [_chosen_from(run, part) for part in job.stretches]
        how = f"picks b = {plan['batch_size']} {'; '.join(parts)}{_who_scores(run, plan)}"
    learns = job.task.reads.learns
    how += f", {learns}" if learns else ""
    if job.selection.adapt is not None:
        most = "at most "
    work = f"{most}{plan['flops_as_executed'] / 1e12:.2f} TFLOP, about {plan['expected_seconds']:.0f} s"
    shared = f" ({plan['shared_memory_mb']} MB of it shared with the workers)" if job.training.workers else ""
    room = f"{plan['memory_mb']} MB of memory without activations{shared}, {plan['disk_mb']} MB of disk"
    return (
        f"{job.name}: {plan['steps']:,} steps over {plan['rows']:,} rows ({most}{plan['epochs']} epochs), {how}{_rows_first(job)}; "
        f"{work} on this {machine()}, {room}"
    )


def _rows_first(job: Job) -> str:
    growth = job.order.growth
    if growth is None:
        return ""
    few = growth.rows_in(0, job.order.num_rows, job.order.size(0))
    return f", from {few:,} rows at first and from all of them from step {growth.steps:,} on"


def _chosen_from(run: LiveRun, part: Stretch) -> str:
    """Say from how many rows some steps choose, and by what; for a later rule also its first step."""
    (steps, rule), selection = part, run.job.selection
    first, last = run.job.order.size(steps[0]), run.job.order.size(steps[-1])
    settled = f"from step {steps[0] + rule.settles(len(steps)):,} on" if rule.falls_over < 1 else "at last"
    size = f"B = {first}" if first == last else f"B = {first} at first, {last} {settled}"
    if selection.adapt is not None:
        size = f"at most B = {first}, fewer as the learner learns"
    since = f"from step {steps[0]:,} on " if steps[0] else ""
    if since and selection.outgrows:
        since = "once the learner has outgrown the reference, "
    chunks = f"N = {selection.num_chunks}" if rule.method == "joint" else ""
    how = ", ".join(filter(None, (rule.method, run.job.task.reads_by(rule).score, chunks)))
    return f"{since}of {size} ({how})"


def _who_scores(run: LiveRun, plan: Plan) -> str:
    """Say whose weights score, where it is not the learner's present ones, and what that saves."""
    k = run.job.selection.stale_steps
    ago = f"of {k} steps ago" if k > 1 else "of the step before"
    if not _scorer_beside(run):
        return f" by the weights {ago}" if k else ""
    saved = plan["flops_saved_by_proxy"]
    word = f"{abs(saved) / 1e12:.2f} TFLOP {'less' if saved >= 0 else 'more'} than the learner's own scores"
    return f" by a {run.account.forwards.scorer} trained along{f', its weights {ago}' if k else ''} ({word})"
