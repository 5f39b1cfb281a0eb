"""What a run is about to do, said before anything long starts."""

from __future__ import annotations

import platform
import time

import torch

from superbatch.data.order import Order
from superbatch.models import evaluating, pick_device
from superbatch.training.flops import ForwardFlops, Forwards, step_flops
from superbatch.training.job import Job
from superbatch.training.step import Batch, Towers, score_slice


def machine() -> str:
    """Name the processor that a run's bits depend on."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"


@torch.no_grad()
def seconds_per_flop(towers: Towers, batch: Batch, forward: ForwardFlops) -> float:
    """Time one small forward pass, to tell a run's length beforehand."""
    with evaluating(towers.clip.model):
        towers.embed(batch)
        start = time.perf_counter()
        towers.embed(batch)
        if batch.pixels.device.type == "cuda":
            torch.cuda.synchronize()
    return (time.perf_counter() - start) / (forward.total * len(batch))


def describe(job: Job, order: Order, forwards: Forwards, rate: float) -> dict[str, float | int | str]:
    """Return rows, B, b, steps, epochs, operations, expected seconds and disk of a run; with a proxy, what it saves."""
    b, big_b, steps = job.training.batch_size, job.super_batch_size, job.training.steps
    proxy = forwards.proxy.total if forwards.proxy else 0.0
    scores = job.selection.scores
    flops = steps * step_flops(forwards.learner.total, b, big_b, scored=scores, reuse=False, proxy=proxy)
    models = [job.clip] if job.proxy is None else [job.clip, job.proxy]
    parameters = sum(p.numel() for clip in models for p in clip.model.parameters())
    saved = {"flops_saved_by_proxy": steps * forwards.saved(big_b, b)} if job.proxy else {}
    return {
        "rows": order.num_rows,
        "super_batch_size": big_b,
        "batch_size": b,
        "steps": steps,
        "epochs": round(steps / order.steps_per_epoch, 2),
        "dropped_per_epoch": order.dropped_per_epoch,
        "flops_as_executed": flops,
        **saved,
        "expected_seconds": round(flops * rate, 1),
        "parameters": parameters,
        "memory_mb": round(_memory_bytes(job, parameters) / 1e6),
        "disk_mb": round((3 * 4 * parameters * job.training.keep_checkpoints + 20.0 * steps * (b + 32)) / 1e6, 1),
    }


def _memory_bytes(job: Job, parameters: int) -> int:
    """Weights, gradients and two moments; images read, as bytes and, a slice at a time, as floats; embeddings; picks that wait."""
    pixels = 3 * job.clip.image_size**2
    width = int(job.clip.config["model_cfg"]["embed_dim"])
    at_once = score_slice(job.training, pick_device(job.training.device))
    read = job.super_batch_size if job.selection.scores else job.training.batch_size
    super_batch = read * pixels + job.super_batch_size * 4 * 4 * width + 4 * pixels * at_once
    waiting = job.training.batch_size * (pixels + 8 * job.clip.context_length) + 16 * job.super_batch_size
    return 16 * parameters + super_batch + job.selection.stale_steps * waiting


def sentence(job: Job, plan: dict[str, float | int | str]) -> str:
    """Say the plan in one line."""
    how = "trains on every sample it reads"
    if job.selection.method != "uniform":
        rule = f"{job.selection.method}, {job.selection.criterion}, N = {job.selection.num_chunks}"
        how = f"picks b = {plan['batch_size']} of B = {plan['super_batch_size']} ({rule}){_scorer(job, plan)}"
    work = f"{float(plan['flops_as_executed']) / 1e12:.2f} TFLOP, about {float(plan['expected_seconds']):.0f} s"
    room = f"{plan['memory_mb']} MB of memory besides activations, {plan['disk_mb']} MB of disk"
    return (
        f"{job.name}: {plan['steps']:,} steps over {plan['rows']:,} rows ({plan['epochs']} epochs), {how}; "
        f"{work} on this {machine()}, {room}"
    )


def _scorer(job: Job, plan: dict[str, float | int | str]) -> str:
    """Say whose weights score, where it is not the learner's present ones, and what that saves."""
    k = job.selection.stale_steps
    ago = f"of {k} steps ago" if k > 1 else "of the step before"
    if job.proxy is None:
        return f" by the weights {ago}" if k else ""
    saved = float(plan["flops_saved_by_proxy"])
    word = f"{abs(saved) / 1e12:.2f} TFLOP {'less' if saved >= 0 else 'more'} than the learner's own scores"
    return f" by a proxy trained along{f', its weights {ago}' if k else ''} ({word})"
