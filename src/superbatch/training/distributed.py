"""The ranks of a training: each one's share of a step, and their communication.

One process is a world of one: every share is the whole, and nothing is sent. Ranks are those of torchrun's environment, which
`launch.py` sets too. All methods that send are collective: every rank calls them, in the same order.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from superbatch.errors import UserError
from superbatch.losses import Peers
from superbatch.selection.holders import gather_uneven
from superbatch.training.network import talk_by

T = TypeVar("T")
TIMEOUT = 600  # seconds that ranks wait for one that is alive but silent


@dataclass(frozen=True)
class Ranks:
    """A process among those of a training.

    Attributes:
        rank: this one, from 0; rank 0 alone writes and logs.
        world: how many there are.
        neighbours: how many of them on this machine.
    """

    rank: int = 0
    world: int = 1
    neighbours: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def edges(self, total: int) -> list[int]:
        """Where each rank's share of `total` things begins, and the end; shares differ by one at most."""
        return [total * rank // self.world for rank in range(self.world + 1)]

    def counts(self, total: int) -> list[int]:
        """Things that each rank has of `total`."""
        return [stop - start for start, stop in pairwise(self.edges(total))]

    def share(self, total: int) -> slice:
        """Return this rank's share of `total` things, in order."""
        edges = self.edges(total)
        return slice(edges[self.rank], edges[self.rank + 1])

    def gather(self, mine: Tensor, total: int) -> Tensor:
        """Lay the shares of all ranks end to end: [n, ...] of this rank's share in, [total, ...] out; no gradients."""
        if self.world == 1:
            return mine
        return gather_uneven(None, mine, self.counts(total))

    def gather_uneven(self, mine: Tensor, counts: list[int]) -> Tensor:
        """Lay tensors of any lengths end to end: [counts[rank], ...] in, [sum(counts), ...] out; no gradients."""
        return mine if self.world == 1 else gather_uneven(None, mine, counts)

    def sizes(self, mine: int) -> list[int]:
        """Return everybody's number, by rank."""
        if self.world == 1:
            return [mine]
        told = [torch.zeros(1, dtype=torch.int64) for _ in range(self.world)]
        dist.all_gather(told, torch.tensor([mine]))
        return [int(number) for number in told]

    def peers(self, total: int) -> Peers | None:
        """Return the other holders of a batch of `total` samples, as a loss needs to know them; None where there are none."""
        return None if self.world == 1 else _Peers(self, total, self.share(total).start)

    def swap(self, mine: Tensor, send: list[int], receive: list[int]) -> Tensor:
        """Send the first `send[0]` rows to rank 0, the next `send[1]` to rank 1, ...; returns those received, by rank."""
        theirs = mine.new_empty(sum(receive), *mine.shape[1:])
        dist.all_to_all_single(theirs, mine.contiguous(), receive, send)
        return theirs

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum over ranks, the same bits on all."""
        if self.world > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def most(self, value: int) -> int:
        """Return the largest of all ranks' numbers: how one rank's news reaches all at the same step."""
        if self.world == 1:
            return value
        told = torch.tensor([value])
        dist.all_reduce(told, dist.ReduceOp.MAX)
        return int(told)

    def same(self, value: int) -> bool:
        """Tell whether all ranks have the same number, of 63 bits at most."""
        if self.world == 1:
            return True
        told = torch.tensor([value, -value])
        dist.all_reduce(told, dist.ReduceOp.MAX)
        return int(told[0]) == -int(told[1])

    def tell(self, value: T) -> T:
        """Return rank 0's value on every rank."""
        if self.world == 1:
            return value
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]


@dataclass(frozen=True)
class _Peers:
    """The holders of one batch's samples (`losses.Peers`)."""

    ranks: Ranks
    total: int
    first: int

    def gather(self, mine: Tensor) -> Tensor:
        return self.ranks.gather(mine, self.total)


ALONE = Ranks()


def ranks_here() -> Ranks:
    """Read rank and world from torchrun's environment; alone where there is none."""
    rank, world, neighbours = (
        int(os.environ.get(name, usual)) for name, usual in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_WORLD_SIZE", 1))
    )
    return Ranks(rank, world, neighbours)


def ranks_met() -> Ranks:
    """Return the ranks that have joined a process group, as in a training; alone where none have."""
    return ranks_here() if dist.is_initialized() else ALONE


def waited_too_long(error: Exception) -> bool:
    """Tell whether an error is torch's, of an exchange for which another rank did not come in time; it has no class of its own."""
    return isinstance(error, RuntimeError) and re.search("timed? ?out", str(error), re.IGNORECASE) is not None


def lost_another(error: Exception) -> bool:
    """Tell whether an error is torch's, of another rank whose connection ended; it has no class of its own either."""
    words = r"connection (was )?(reset|closed|aborted)|broken pipe|socket closed"
    return isinstance(error, RuntimeError) and re.search(words, str(error), re.IGNORECASE) is not None


@contextmanager
def joined(device: str, timeout: int = TIMEOUT, interface: str | None = None) -> Iterator[Ranks]:
    """Join the process group that the environment names, and leave it at the end; alone, do nothing.

    After an error the group stays until the process ends: so others notice no sooner than the launch does who was first.

    Args:
        device: as `training.device`; on a GPU each rank takes that of its place on the machine (LOCAL_RANK).
        timeout: seconds that it waits for the others, whenever it does. interface: of the network by which they talk.

    Raises:
        UserError: more ranks than GPUs.
    """
    ranks = ranks_here()
    if ranks.world == 1:
        yield ranks
        return
    on_gpu = torch.cuda.is_available() and device in ("auto", "cuda")
    if on_gpu:
        if ranks.neighbours > torch.cuda.device_count():
            what = f"{ranks.neighbours} ranks on a machine with {torch.cuda.device_count()} GPUs"
            raise UserError("training.processes", what, "use at most as many as there are")
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    talk_by(interface)
    # gloo besides nccl: flags and objects are on the host and don't have to wait for the device.
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=timedelta(seconds=timeout))
    if not ranks.is_first:
        logging.getLogger("superbatch").setLevel(logging.WARNING)  # log each fact once, not once per rank
    yield ranks
    dist.destroy_process_group()
