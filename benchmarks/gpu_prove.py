"""Everything that is to be shown on a GPU, a process for each part, so that what fails or hangs costs only itself.

    python benchmarks/gpu.py --prove [--json FILE] [--only PART ...]

About ten minutes on an H100 or H200. What the machine needs: torch, numpy, pyarrow, open_clip_torch, simplejpeg, and pytest for the tests. Without a GPU
every part runs at a tiny size on the CPU, to show that it works, and names no figure.

    tests      all tests marked `gpu`: picks, sums of the fused kernel, losses and views against float64 or the CPU
    selection  milliseconds and memory of a selection at the paper's size
    steps      the largest batch that fits, its MFU, a JEST step against the formula
    kills      30 steps, killed twice and continued: the bits of the run that was never killed
    loader     the share of a step that waits for 14 loader processes
    syncs      where one step waits for the device, besides where it reads its loss
    loss       memory of the loss at b = 32,768
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from common import ROOT, median, report, table

from superbatch.losses import contrastive_term

LIMIT_S = {"tests": 180, "steps": 240, "loader": 180}  # of a part; 120 where nothing is said
# What DESIGN.md and the milestones ask for: the largest or the smallest value that will do.
AT_MOST = {"selection_ms": 60.0, "selection_gib": 4.0, "unexpected_syncs": 0, "tests_failed": 0}
AT_LEAST = {"mfu": 0.45, "bit_identical_of_4": 4}
MARKED = ("tests/gpu", "tests/selection/test_fused.py")
READS = ("step.py",)  # where a step may wait: its loss and gradient norm are read there


def device_here() -> torch.device:
    """Return the GPU, or the CPU where there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def tests(options: argparse.Namespace) -> dict[str, Any]:
    """Run the tests marked `gpu`; without the project's conftest, which wants more than the core's packages."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-o",
        "addopts=",
        "--noconftest",
        "-p",
        "no:cacheprovider",
        "-m",
        "gpu",
        *MARKED,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    said = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or ["nothing"]
    counts = {word: int(said[-1].split(f" {word}")[0].split()[-1]) for word in ("passed", "failed") if word in said[-1]}
    if "passed" not in counts:
        raise RuntimeError(f"pytest ran no test: {said[-1]}")
    return {"tests_passed": counts["passed"], "tests_failed": counts.get("failed", 0), "last line": said[-1]}


def selection(options: argparse.Namespace) -> dict[str, Any]:
    """Time a selection at the paper's size."""
    import gpu

    milliseconds, gib = gpu.selection(_sizes(options), device_here(), options.seed)
    return {"selection_ms": milliseconds, "selection_gib": gib}


def steps(options: argparse.Namespace) -> dict[str, Any]:
    """Find the largest batch, and time its steps."""
    import gpu

    device = device_here()
    with TemporaryDirectory() as folder:
        config = gpu.model_config(options.model, device, Path(folder))
        return gpu.measure_steps(config, _sizes(options), device, options.seed)


def kills(options: argparse.Namespace) -> dict[str, Any]:
    """Kill four trainings of 30 steps twice each, and compare what comes out with undisturbed ones."""
    from kills import trials

    with TemporaryDirectory() as folder:
        found = trials(Path(folder), 4, (0,), options.seed, steps=30, device=device_here().type)
    return {"bit_identical_of_4": sum(one.identical for one in found), "killed": [list(one.kills) for one in found]}


def loader(options: argparse.Namespace) -> dict[str, Any]:
    """Train with loader processes on JPEG files; return what a step waits for them."""
    import training
    from trainers import ours
    from turns import in_turns

    case = training.cases(quick=device_here().type == "cpu")[-1]
    case = replace(case, workers=14 if case.device == "cuda" else 1)
    with TemporaryDirectory() as folder:
        pool = training.Pool(Path(folder), None, 32 if case.device == "cpu" else 384, case.batch * 8, options.seed)
        found = in_turns({"ours": lambda wrap: ours(case, pool.files, wrap)}, 1, step_by_step=False)["ours"]
    seconds = median(found.seconds)
    return {
        "case": case.name,
        "batch": case.batch,
        "loader_processes": case.workers,
        "images_a_second": case.batch / seconds,
        "waiting_share": median(found.waiting) / seconds,
    }


def syncs(options: argparse.Namespace) -> dict[str, Any]:
    """Take a JEST step while CUDA warns of each wait for the device; say where, and how many of them are not the loss being read."""
    import gpu

    device = device_here()
    with TemporaryDirectory() as folder:
        made = gpu.Steps(gpu.model_config(options.model, device, Path(folder)), device, options.seed)
        step = made.contenders(64)["JEST step"].__wrapped__
        step()
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            _warn_of_syncs(device, True)
            try:
                step()
            finally:
                _warn_of_syncs(device, False)
    places = [f"{Path(one.filename).name}:{one.lineno}" for one in heard if "synchroniz" in str(one.message)]
    return {"syncs": places, "unexpected_syncs": sum(place.split(":")[0] not in READS for place in places)}


def _warn_of_syncs(device: torch.device, on: bool) -> None:
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("warn" if on else "default")


def loss(options: argparse.Namespace) -> dict[str, Any]:
    """Run both losses forward and backward at the paper's batch; return the memory beyond the embeddings, and the seconds."""
    device = device_here()
    count, dim = (32_768, 768) if device.type == "cuda" and not options.quick else (1_024, 64)
    found: dict[str, Any] = {"loss_b": count}
    for name in ("sigmoid", "softmax"):
        generator = torch.Generator().manual_seed(options.seed)
        sides = [torch.nn.functional.normalize(torch.randn(count, dim, generator=generator), dim=1) for _ in range(2)]
        leaves = [one.to(device).requires_grad_() for one in (*sides, torch.tensor(10.0), torch.tensor(-10.0))]
        start = _start(device)
        torch.autograd.grad(contrastive_term(name, *leaves), leaves, allow_unused=True)
        found |= {f"loss_{name}_{what}": value for what, value in _end(device, *start).items()}
    return found


def _start(device: torch.device) -> tuple[float, int]:
    if device.type != "cuda":
        return time.perf_counter(), 0
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    return time.perf_counter(), torch.cuda.memory_allocated()


def _end(device: torch.device, start: float, before: int) -> dict[str, float]:
    if device.type != "cuda":
        return {"seconds": time.perf_counter() - start}
    torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() - before
    return {"seconds": time.perf_counter() - start, "gib": peak / 2**30}


def _sizes(options: argparse.Namespace) -> Any:
    import gpu

    return gpu.SIZES["cpu" if device_here().type == "cpu" else "quick" if options.quick else "gpu"]


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "tests": tests,
    "selection": selection,
    "steps": steps,
    "kills": kills,
    "loader": loader,
    "syncs": syncs,
    "loss": loss,
}


def run_part(options: argparse.Namespace) -> None:
    """Be the process of one part: run it, and write what it found."""
    torch.set_num_threads(options.threads)
    found = PARTS[options.part](options)
    options.json.write_text(json.dumps(found, default=_plain))


def _plain(value: Any) -> Any:
    """Turn numbers of numpy and torch into Python's."""
    if isinstance(value, np.generic | torch.Tensor):
        return value.item()
    raise TypeError(f"{value!r} has no JSON")


def part_of(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run a part in a process of its own; what it found, or why it found nothing."""
    out = folder / f"{name}.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--part", name, "--json", str(out)]
    command += ["--model", options.model, "--seed", str(options.seed), "--threads", str(options.threads)]
    command += ["--quick"] if options.quick else []
    limit = LIMIT_S.get(name, 120)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"failed": f"took longer than {limit} s"}
    if done.returncode != 0 or not out.exists():
        return {"failed": (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]}
    return json.loads(out.read_text())


def unmet(found: dict[str, dict[str, Any]]) -> list[str]:
    """Say what failed, and which goals are missed."""
    said = [f"{part}: {one['failed']}" for part, one in found.items() if "failed" in one]
    for one in found.values():
        said += [
            f"{name} is {one[name]}, the goal at most {goal}"
            for name, goal in AT_MOST.items()
            if _over(one, name, goal)
        ]
        said += [
            f"{name} is {one[name]}, the goal at least {goal}"
            for name, goal in AT_LEAST.items()
            if _over(one, name, goal, -1)
        ]
    return said


def _over(found: dict[str, Any], name: str, goal: float, sign: int = 1) -> bool:
    return name in found and sign * found[name] > sign * goal


def prove(options: argparse.Namespace) -> None:
    """Run all parts, a line each as it ends, then what is missing, and one line of JSON."""
    device = device_here()
    if device.type == "cpu":
        print("no GPU: tiny sizes on the CPU show that each part works; goals are not judged", flush=True)
    found: dict[str, dict[str, Any]] = {}
    with TemporaryDirectory() as folder:
        for name in options.only or PARTS:
            begin = time.perf_counter()
            found[name] = part_of(name, options, Path(folder))
            print(
                table(["part", "s", "found"], [[name, f"{time.perf_counter() - begin:.0f}", _line(found[name])]]),
                flush=True,
            )
    missing = (
        unmet(found)
        if device.type == "cuda" and not options.quick
        else unmet({k: v for k, v in found.items() if "failed" in v})
    )
    print("\n".join(["not shown:", *missing]) if missing else "all of it holds", flush=True)
    report("gpu_prove", {"proved": found, "missing": missing}, options)
    sys.exit(1 if missing else 0)


def _line(found: dict[str, Any]) -> str:
    short = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in found.items()}
    return ", ".join(f"{name} {value}" for name, value in short.items())
