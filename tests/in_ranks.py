"""Runs a function in several gloo ranks and returns what each of them returned."""

from __future__ import annotations

import os
import socket
import traceback
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def in_ranks(world: int, work: Any, folder: Path, *arguments: Any) -> list[Any]:
    """What `work(*arguments)` returns on each of `world` ranks, joined as torchrun would join them."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.start_processes(_rank, (world, port, work, folder, arguments), nprocs=world, start_method="fork")
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(world)]


def _rank(rank: int, world: int, port: int, work: Any, folder: Path, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    try:
        result = work(*arguments)
    except Exception:
        traceback.print_exc()
        raise
    torch.save(result, folder / f"{rank}.pt")
    if dist.is_initialized():
        dist.destroy_process_group()
