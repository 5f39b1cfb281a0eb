"""What every benchmark shares: options, machine and commit, interleaved timing, peak memory, the line of JSON."""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from superbatch.nested import merge

ROOT = Path(__file__).resolve().parents[1]
M_MMAP_THRESHOLD = -3  # malloc.h


def parser(description: str) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have: --quick, --json FILE, --threads N, --seed N."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--quick", action="store_true", help="small sizes, under 45 s on two cores")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    made.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="CPU threads for all contenders alike"
    )
    made.add_argument("--seed", type=int, default=0)
    return made


def parameters(environment: str | None) -> dict[str, Any]:
    """Read the project's parameters with those of an environment on top."""
    found: dict[str, Any] = {}
    for file in sorted((ROOT / "conf" / "base").glob("parameters*.yml")):
        found |= yaml.safe_load(file.read_text())
    return (
        found
        if environment is None
        else merge(found, yaml.safe_load((ROOT / "conf" / environment / "parameters.yml").read_text()))
    )


def machine() -> dict[str, Any]:
    """Processor, cores, GPU and the versions that decide speed."""
    names = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "gpu": gpu,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load": [round(load, 1) for load in os.getloadavg()],
    }


def commit() -> str:
    """The commit this ran from, with "+changes" where the working tree differs; "unknown" outside git."""
    if _git("rev-parse", "--verify", "HEAD") == "":
        return "unknown"
    return _git("rev-parse", "HEAD") + ("+changes" if _git("status", "--porcelain", "--untracked-files=no") else "")


def processor_seconds() -> float:
    """Processor time of this process and of its children that have ended: what other work on the machine disturbs least."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def interleaved(
    contenders: dict[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each contender's `repeats` calls, in turns (each round from another start), after a warm-up call."""
    for call in contenders.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = clock()
            contenders[name]()
            seconds[name].append(clock() - start)
    return seconds


def median(seconds: Sequence[float]) -> float:
    """The middle one: what a busy machine disturbs least."""
    return statistics.median(seconds)


def peak_bytes(call: Callable[..., object], *arguments: Any) -> int:
    """Extra resident memory at the peak of `call(*arguments)`'s returned function, in a process of its own (Linux).

    `call` prepares (its memory is not counted) and returns the function to measure.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_here, (call, arguments, torch.get_num_threads()))


def _peak_here(call: Callable[..., Callable[[], object]], arguments: tuple[Any, ...], threads: int) -> int:
    torch.set_num_threads(threads)
    _give_back_at_once()
    measured = call(*arguments)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status("VmRSS")
    measured()
    return _status("VmHWM") - before


def _give_back_at_once() -> None:
    """Make glibc map blocks of 64 KiB and more by themselves: what is freed is gone, and nothing left over is used again unseen."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 1 << 16)


def _status(key: str) -> int:
    return next(int(line.split()[1]) * 1024 for line in _lines("/proc/self/status") if line.startswith(key + ":"))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned to the right, the first to the left."""
    widths = [max(len(cells[i]) for cells in (header, *rows)) for i in range(len(header))]
    lines = [
        [cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))]
        for row in (header, *rows)
    ]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def report(name: str, figures: dict[str, Any], options: argparse.Namespace) -> None:
    """Prints the closing JSON line (figures, machine, commit, seeds) and writes it to --json FILE."""
    result = {
        "benchmark": name,
        **figures,
        "quick": options.quick,
        "machine": machine(),
        "commit": commit(),
        "seeds": options.seed if isinstance(options.seed, list) else [options.seed],
    }
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result), flush=True)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []
