"""The machine: torch and its device, cores, memory, disk, shared memory, and the programs that commands call."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from superbatch.doctor.finding import Finding

DRIVER = Path("/proc/driver/nvidia/version")
MEMORY = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")  # limits of a container
SHARED_MEMORY = Path("/dev/shm")
GB = 1e9
MEMORY_WANTED = 2 * GB  # a chain of the embedded default, with its loader processes
DISK_WANTED = 2 * GB  # the embedded default takes a fifth of it
SHARED_WANTED = 0.25 * GB  # batches read ahead; a container has 0.064 unless it asks for more
PROGRAMS = {"git": "DVC and the record of a run need it", "make": "the short commands need it"}


@dataclass(frozen=True)
class Torch:
    """What torch reports about itself.

    Attributes:
        version: its own. cuda: the CUDA it was built for, if any.
        devices: names of the GPUs that it can use. metal: whether it can use Apple's.
        threads: that it computes with.
    """

    version: str
    cuda: str | None
    devices: tuple[str, ...]
    metal: bool
    threads: int


def ask_torch() -> Torch:
    """Import torch and ask it.

    Raises:
        ImportError, OSError: it is not installed, or its libraries don't load.
    """
    import torch

    devices = tuple(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
    usable = devices if torch.cuda.is_available() else ()
    return Torch(
        torch.__version__, torch.version.cuda, usable, torch.backends.mps.is_available(), torch.get_num_threads()
    )


def check_torch(cores: int, ask: Callable[[], Torch] = ask_torch, driver: Path = DRIVER) -> Iterator[Finding]:
    """Check that torch loads, finds the GPU that is there, and does not compute with more threads than there are cores.

    Args:
        cores: that this process may use. ask: for what torch says. driver: the file in which NVIDIA's tells its version.
    """
    try:
        torch = ask()
    except (ImportError, OSError) as error:
        reason = " ".join(str(error).split())
        yield Finding(
            "torch", "missing", f"does not load ({reason})", "reinstall it: https://pytorch.org/get-started/locally"
        )
        return
    built = f"built for CUDA {torch.cuda}" if torch.cuda else "built without CUDA"
    yield Finding("torch", "ok", f"{torch.version}, {built}")
    yield check_device(torch, driver_version(driver))
    if torch.threads > cores:
        yield Finding(
            "threads",
            "warning",
            f"torch computes with {torch.threads} on {cores} cores",
            f"export OMP_NUM_THREADS={cores}",
        )
    else:
        yield Finding("threads", "ok", f"torch computes with {torch.threads} on {cores} cores")


def check_device(torch: Torch, driver: str | None) -> Finding:
    """Say what is computed on; warn where a GPU is there that torch cannot use.

    Args:
        torch: what it says of itself. driver: the version of NVIDIA's, None where there is none.
    """
    if torch.devices:
        return Finding("device", "ok", f"cuda: {', '.join(torch.devices)}" + (f", driver {driver}" if driver else ""))
    if driver is not None and torch.cuda is None:
        what = f"cpu: NVIDIA's driver {driver} is here, but this torch was built without CUDA"
        return Finding("device", "warning", what, "install torch's CUDA build: https://pytorch.org/get-started/locally")
    if driver is not None:
        what = f"cpu: torch, built for CUDA {torch.cuda}, finds no GPU, although NVIDIA's driver {driver} is here"
        remedy = (
            "update the driver, or install a torch for an older CUDA; see also whether CUDA_VISIBLE_DEVICES hides it"
        )
        return Finding("device", "warning", what, remedy)
    return Finding("device", "ok", "mps: Apple's GPU" if torch.metal else "cpu: no GPU here")


def driver_version(file: Path = DRIVER) -> str | None:
    """Return the version of NVIDIA's driver; None where none is loaded."""
    if not file.is_file():
        return None
    found = re.search(r"\s(\d+\.\d+(\.\d+)?)\s", file.read_text())
    return found[1] if found else "of unknown version"


def usable_cores(cgroup: Path = CGROUP) -> int:
    """Return how many cores this process may use: those it is bound to, or what its container gives it."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, period = (_words(cgroup / "cpu.max") + ["max", "max"])[:2]
    return min(bound, max(1, round(int(quota) / int(period)))) if quota.isdigit() and period.isdigit() else bound


def free_memory(meminfo: Path = MEMORY, cgroup: Path = CGROUP) -> int | None:
    """Return the bytes of memory that are free, within the container's limit; None where the system does not tell."""
    found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text()) if meminfo.is_file() else None
    if found is None:
        return None
    free = 1024 * int(found[1])
    limit, used = _words(cgroup / "memory.max"), _words(cgroup / "memory.current")
    return min(free, int(limit[0]) - int(used[0])) if limit and used and limit[0].isdigit() else free


def check_room(folder: Path, memory: int | None, shared: Path = SHARED_MEMORY) -> Iterator[Finding]:
    """Check that there is memory, disk and shared memory enough for a small run.

    Args:
        folder: where data goes. memory: free bytes, if known. shared: the file system of shared memory.
    """
    if memory is not None:
        yield _room("memory", memory, MEMORY_WANTED, "", "close other programs, or lower learner.training.batch_size")
    yield _room(
        "disk",
        shutil.disk_usage(folder).free,
        DISK_WANTED,
        f" for {folder}",
        "make room, or set `data` in conf/base/globals.yml",
    )
    if shared.is_dir():
        remedy = "enlarge it (docker run --shm-size=1g), or set learner.training.workers to 0"
        yield _room(
            "shared", shutil.disk_usage(shared).free, SHARED_WANTED, f" of {shared} for loader processes", remedy
        )


def _room(check: str, free: float, wanted: float, of: str, remedy: str) -> Finding:
    what = f"{free / GB:.1f} GB free{of}"
    if free >= wanted:
        return Finding(check, "ok", what)
    return Finding(check, "warning", f"{what}, and {wanted / GB:g} are wanted", remedy)


def check_programs(programs: Iterable[str] = PROGRAMS) -> Iterator[Finding]:
    """Check that the programs are there which commands call."""
    for name in programs:
        place = shutil.which(name)
        if place is None:
            yield Finding(name, "warning", f"not found; {PROGRAMS[name]}", f"install it (apt-get install {name})")
        else:
            yield Finding(name, "ok", place)


def _words(file: Path) -> list[str]:
    return file.read_text().split() if file.is_file() else []
