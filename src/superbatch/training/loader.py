"""Super-batches in order, read ahead by worker processes that share each of them.

Workers write pixels into a few slots of shared memory, a super-batch a slot, and send row numbers and token ids alone: nothing
large is pickled, copied or allocated anew on the way.

Legend: B super-batch size, S image side, L tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from superbatch.errors import UserError
from superbatch.training.source import Rows, Samples, SuperBatches

PART_ROWS = 32  # the least that a worker is sent for
AHEAD = 2  # parts that wait for each worker


@dataclass(frozen=True)
class Parts(Dataset):  # type: ignore[type-arg]
    """Parts of super-batches: item (step, place where the part begins, its positions).

    Attributes:
        batches: the super-batches.
        slots_KB3SS: uint8, shared by all processes; step s writes into slot s modulo K.
    """

    batches: SuperBatches
    slots_KB3SS: Tensor

    def __getitem__(self, item: tuple[int, int, np.ndarray]) -> tuple[np.ndarray, np.ndarray] | UserError:
        """Read a part into its slot; returns its rows and token ids (n, L), or the error, which torch would make text of."""
        step, start, positions = item
        try:
            rows, pixels, ids = self.batches.read(positions)
        except UserError as error:
            return error
        self.slots_KB3SS[step % len(self.slots_KB3SS), start : start + len(rows)] = pixels
        return rows, ids.numpy()


def make_loader(batches: SuperBatches, first: int, last: int, workers: int, device: torch.device) -> Iterator[Samples]:
    """Iterate over the super-batches of steps first..last-1 in order, on the device; 0 workers read them here, when asked.

    With workers at least the next super-batch is read ahead, and about three are in memory, however many workers there are. On a CPU
    their pixels are shared memory, which is written again once the next super-batch is asked for: copy what is to be kept.

    Raises:
        UserError: an image that can't be read, named by shard and key.
    """
    if workers and first < last:
        yield from _read_ahead(batches, first, last, workers, device)
        return
    for step in range(first, last):
        rows, pixels, ids = batches.read(batches.order.rows(step))
        yield rows, pixels.to(device), ids.to(device)


def _read_ahead(batches: SuperBatches, first: int, last: int, workers: int, device: torch.device) -> Iterator[Samples]:
    big_b = batches.order.batch_size
    parts = max(1, min(workers, big_b // PART_ROWS))
    # Steps in the hands of workers, and the one that the caller has: its slot is sent out again when its successor is asked for.
    count = 2 + (AHEAD * workers - 1) // parts
    shape = batches.read(batches.order.rows(first)[:1])[1].shape[1:]
    slots = torch.empty((count, big_b, *shape), dtype=torch.uint8).share_memory_()
    loader = DataLoader(
        Parts(batches, slots),
        batch_size=None,
        collate_fn=_as_is,
        # Drawn as workers ask for more: what is to be read is decided here, which for some orders is a selection.
        sampler=_items(batches.order, range(first, last), parts),
        num_workers=workers,
        prefetch_factor=AHEAD,
        # A private generator keeps the loader from drawing its base seed from the global random state, which a resumed run restores.
        generator=torch.Generator().manual_seed(0),
    )
    with _pinned(slots, device):
        items = iter(loader)
        for step in range(first, last):
            rows, ids = zip(*[_checked(next(items)) for _ in range(parts)], strict=True)
            yield np.concatenate(rows), slots[step % count].to(device), torch.from_numpy(np.concatenate(ids)).to(device)


def _items(order: Rows, steps: range, parts: int) -> Iterator[tuple[int, int, np.ndarray]]:
    for step in steps:
        for part in range(parts):
            yield step, order.part_start(part, parts), order.rows(step, part, parts)


def _as_is(item: Any) -> Any:
    """Keep numpy arrays: the default collation would make tensors of them, each with a file of its own to share it."""
    return item


def _checked(part: tuple[np.ndarray, np.ndarray] | UserError) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(part, UserError):
        raise part
    return part


@contextmanager
def _pinned(slots: Tensor, device: torch.device) -> Iterator[None]:
    """Lock shared memory in place while it feeds a GPU, so that copies run at the bus's speed; where refused, they are slower."""
    if device.type != "cuda":
        yield
        return
    runtime = torch.cuda.cudart()
    locked = int(runtime.cudaHostRegister(slots.data_ptr(), slots.nbytes, 0)) == 0
    try:
        yield
    finally:
        if locked:
            runtime.cudaHostUnregister(slots.data_ptr())
