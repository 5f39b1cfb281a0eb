"""Runs a function in several gloo ranks and returns what each of them returned.

Ranks are forked from a server that has imported torch and done nothing else. They were forked from the process of the tests, with the threads
of all that ran in it before, until one died of a segmentation fault there that nobody could repeat.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.multiprocessing import ProcessExitedException

IMPORTED = [
    "pytest",
    "hypothesis",
    "pandas",
    "pyarrow.dataset",
    "scipy.special",
    "open_clip",
    "superbatch.training",
    "superbatch.tasks.learner",
]


def in_ranks(world: int, work: Any, folder: Path, *arguments: Any) -> list[Any]:
    """What `work(*arguments)` returns on each of `world` ranks, joined as torchrun would join them."""
    joined = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return in_processes(world, lambda rank: _joined(rank, joined, work, arguments), folder)


def _joined(rank: int, joined: dict[str, str], work: Any, arguments: tuple[Any, ...]) -> Any:
    os.environ |= joined | {"RANK": str(rank)}
    return work(*arguments)


def has_ipv6() -> bool:
    """Tell whether a socket can be bound to ::1 here."""
    try:
        with socket.socket(socket.AF_INET6) as bound:
            bound.bind(("::1", 0))
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def in_processes(world: int, work: Callable[[int], Any], folder: Path) -> list[Any]:
    """What `work(rank)` returns in each of `world` processes, closures and fixtures included."""
    try:
        mp.start_processes(_process, _handed(work, folder), nprocs=world, start_method="forkserver")
    except ProcessExitedException as died:
        died.add_note("\n".join(log.read_text() for log in sorted(folder.glob("*.fault"))))
        raise
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world)]


def beside(work: Callable[[], Any], folder: Path) -> BaseProcess:
    """Begin `work()` in a process of its own, and return that."""
    process = multiprocessing.get_context("forkserver").Process(
        target=_process, args=(0, *_handed(lambda _: work(), folder))
    )
    process.start()
    return process


def _handed(work: Callable[[int], Any], folder: Path) -> tuple[bytes, Path, dict[str, str], str]:
    """What a process is given, besides its rank."""
    folder.mkdir(parents=True, exist_ok=True)
    multiprocessing.set_forkserver_preload(IMPORTED)
    return cloudpickle.dumps(work), folder, dict(os.environ), os.getcwd()


def assert_killed(work: Callable[[], Any], folder: Path) -> None:
    """Call `work()` in a process of its own, and make sure that it ends by SIGKILL."""
    with pytest.raises(ProcessExitedException, match="signal SIGKILL"):
        in_processes(1, lambda _: work(), folder)


def _process(rank: int, work: bytes, folder: Path, environment: dict[str, str], where: str) -> None:
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # the tests' own, for processes that this one starts
    os.environ.clear()
    os.environ |= environment
    os.chdir(where)
    with (folder / f"{rank}.fault").open("w") as stacks:
        faulthandler.enable(stacks)
        try:
            result = cloudpickle.loads(work)(rank)
        except Exception:
            traceback.print_exc()
            raise
        torch.save(result, folder / f"{rank}.pt")
        if dist.is_initialized():
            dist.destroy_process_group()
        faulthandler.disable()
