"""A uniform step against the limit: its operations a second over those of the machine's best matrix product, and where the rest goes.

A part of `benchmarks/training.py`. Step and product take turns, so a busy machine slows both alike. The profile is of steps without reading.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from common import interleaved, median, table
from trainers import Case, our_job, ours
from turns import Steps, Wrap, in_turns

from superbatch.tasks import SetFiles
from superbatch.training import Job
from superbatch.training.distributed import ALONE
from superbatch.training.gradients import BatchGradients
from superbatch.training.optimizer import make_optimizer
from superbatch.training.step import Trained, train_step
from superbatch.training.task import LEARNER

SIDES = (256, 512, 1_024, 2_048)  # of the square products that are tried
PROFILED = 4  # steps
# By a part of an operation's name, the first that fits; sums are of time in the operation itself.
KINDS = {
    "matrix products": ("addmm", "aten::mm", "bmm", "baddbmm", "linear"),
    "attention": ("scaled_dot_product", "softmax"),
    "patches": ("conv",),
    "GELU": ("gelu",),
    "layer norm": ("layer_norm",),
    "optimiser and clipping": ("adam", "norm", "foreach"),
    "embeddings": ("embedding", "index"),
    "copies": ("copy", "contiguous", "cat", "clone", "to_copy", "fill", "zero"),
}
OTHER = "the rest"
STEP = "a uniform step"


def product(side: int) -> tuple[Callable[[], torch.Tensor], float]:
    """Return a product of two (side, side) matrices in float32, and its operations."""
    left, right = (torch.randn(side, side) for _ in range(2))
    out = torch.empty(side, side)
    return lambda: torch.mm(left, right, out=out), 2.0 * side**3


def best_side(repeats: int) -> int:
    """Return the side of the square product with the most operations a second."""
    calls = {side: product(side) for side in SIDES}
    seconds = interleaved({str(side): call for side, (call, _) in calls.items()}, repeats)
    return max(SIDES, key=lambda side: calls[side][1] / median(seconds[str(side)]))


def multiply(side: int, steps: int, times: int, wrap: Wrap) -> None:
    """Take part in turns as a trainer does: a step is some products."""
    call, _ = product(side)
    for _ in wrap(range(steps)):
        for _ in range(times):
            call()


def in_turns_with_products(case: Case, pool: SetFiles, side: int, repeats: int) -> dict[str, tuple[Steps, float]]:
    """Time uniform steps and products in turns; return the steps of each with a step's operations."""
    step, (_, one) = flops_of(case, pool), product(side)
    times = max(1, round(step / one))
    contenders = {
        STEP: lambda wrap: ours(case, pool, wrap),
        f"products of {side} x {side}": lambda wrap: multiply(side, case.steps, times, wrap),
    }
    found = in_turns(contenders, repeats, step_by_step=True)
    return dict(zip(found, zip(found.values(), (step, times * one), strict=True), strict=True))


def flops_of(case: Case, pool: SetFiles) -> float:
    """Return the operations of a uniform step, by the project's own account."""
    with TemporaryDirectory() as folder:
        return placed(case, pool, Path(folder)).account().step(case.batch, 0)


def placed(case: Case, pool: SetFiles, folder: Path) -> Job:
    """Return a uniform run whose model is ready."""
    job = our_job(case, pool, folder)
    job.task.place(torch.device("cpu"), job.training)
    return job


def profile_of(case: Case, pool: SetFiles, folder: Path) -> tuple[dict[str, float], float]:
    """Return milliseconds of a training step by kind of operation, and by the clock without the profiler."""
    job = placed(case, pool, folder)
    batch = job.source.read(job.task.reads.training, np.arange(case.batch), 0)
    model = job.task.models[LEARNER].module.train()
    trained = [
        Trained(LEARNER, make_optimizer(model, job.training.optimizer), BatchGradients(job.task, LEARNER, ALONE))
    ]

    def step() -> None:
        train_step(job.task, trained, batch, job.training)

    step()
    start = time.perf_counter()
    for _ in range(PROFILED):
        step()
    clock = (time.perf_counter() - start) / PROFILED
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(PROFILED):
            step()
    found = dict.fromkeys([*KINDS, OTHER], 0.0)
    for event in profiler.key_averages():
        found[kind_of(event.key)] += event.self_cpu_time_total / 1e3 / PROFILED
    return found, 1e3 * clock


def kind_of(name: str) -> str:
    """Return the kind of an operation by its name."""
    return next((kind for kind, parts in KINDS.items() if any(part in name.lower() for part in parts)), OTHER)


def show_speed(case: Case, found: dict[str, tuple[Steps, float]]) -> dict[str, float]:
    """Print operations a second of steps and products; return the first over the second, by the clock and by processor time."""
    speeds = {
        name: [flops / median(seconds) / 1e9 for seconds in (steps.seconds, steps.processor)]
        for name, (steps, flops) in found.items()
    }
    header = [f"{case.name}, batch {case.batch}", "ms", "GFLOP", "GFLOP/s", "by processor time"]
    rows = [
        [name, f"{1e3 * median(steps.seconds):.0f}", f"{flops / 1e9:.1f}", *(f"{one:.1f}" for one in speeds[name])]
        for name, (steps, flops) in found.items()
    ]
    print(table(header, rows) + "\n", flush=True)
    own, theirs = speeds.values()
    names = ("step_over_matmul", "step_over_matmul_processor")
    return {
        f"{name}.{case.name}_b{case.batch}": round(mine / limit, 3)
        for name, mine, limit in zip(names, own, theirs, strict=True)
    }


def show_profile(case: Case, parts: dict[str, float], whole: float) -> dict[str, float]:
    """Print and return where a step's time goes."""
    rows = [[kind, f"{ms:.1f}", f"{100 * ms / sum(parts.values()):.0f}"] for kind, ms in parts.items()]
    rows.append(["the whole step, without the profiler", f"{whole:.1f}", ""])
    print(table([f"{case.name}, batch {case.batch}: a step without reading", "ms", "%"], rows) + "\n", flush=True)
    return {f"step_ms.{case.name}_b{case.batch}.{kind}": round(ms, 2) for kind, ms in parts.items()}


def show_matmul(options: argparse.Namespace, pool: SetFiles, cases: list[Case], folder: Path) -> dict[str, float]:
    """Run, print and return steps over products, and the profile, of each case."""
    figures: dict[str, float] = {}
    side = best_side(3 if options.quick else 9)
    for case in cases:
        figures |= show_speed(case, in_turns_with_products(case, pool, side, options.repeats))
        figures |= show_profile(case, *profile_of(case, pool, folder / f"{case.name}_b{case.batch}"))
    return figures
