"""Reading the fields of steps' samples, by worker processes ahead of the step that needs them, or here, when asked.

A step is read in two phases: what scoring needs, of the super-batch, and what training needs besides, of the chosen. The same workers
do both. They write into a few slots of shared memory, a step a slot, and send nothing back: no sample is pickled, copied or allocated
anew on the way.

Legend: K slots, n samples of a step.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from superbatch.data.fields import Batch, Source
from superbatch.errors import UserError

log = logging.getLogger(__name__)
PIECE_ROWS = 32  # samples: the smallest piece that a worker is given
AHEAD = 2  # pieces queued for each worker
SCORING, TRAINING = "scoring", "training"  # the phases
SHARED_MEMORY = Path("/dev/shm")
WATCH_S = 1.0  # seconds between two checks that the trainer is still alive

Slots = dict[str, dict[str, Tensor]]  # by phase and field: (K, n, ...)


@dataclass(frozen=True)
class Phase:
    """What is read of a step's samples, and of how many.

    Attributes:
        fields: by name.
        samples: a step, n.
        kept: steps whose samples wait, read, beside the one in use; None: as many as keep the workers busy.
    """

    fields: tuple[str, ...]
    samples: int
    kept: int | None = None

    def pieces(self, workers: int) -> int:
        """Into how many pieces a step's samples are cut."""
        return max(1, min(workers, self.samples // PIECE_ROWS))

    def ahead(self, workers: int) -> int:
        """Steps that are read ahead of the one in use."""
        if self.kept is not None or workers == 0:
            return self.kept or 0
        return 1 + (AHEAD * workers - 1) // self.pieces(workers)


class Reader:
    """Reads steps' samples phase by phase; a context, at whose end the workers end.

    With workers a batch on the CPU is shared memory, which is written again once `ahead` more steps have been asked for: copy what is
    to be kept.

    Args:
        source: of the fields.
        phases: by name.
        workers: processes; 0 reads here, when a batch is taken.
        device: where batches go.

    Raises:
        UserError: too little shared memory.
    """

    def __init__(self, source: Source, phases: Mapping[str, Phase], workers: int, device: torch.device) -> None:
        self.source, self.phases, self.workers, self.device = source, dict(phases), workers, device
        self._asked: dict[tuple[str, int], tuple[np.ndarray, list[Future[UserError | None]]]] = {}
        self._slots = _make_slots(source, self.phases, workers) if workers else {}
        self._pins = [tensor for slots in self._slots.values() for tensor in slots.values() if _pinned(tensor, device)]
        self._pool = _start_pool(source, self._slots, workers) if workers else None

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        for tensor in self._pins:
            torch.cuda.cudart().cudaHostUnregister(tensor.data_ptr())

    def ahead(self, phase: str) -> int:
        """Steps to ask for before the first of them is taken."""
        return self.phases[phase].ahead(self.workers)

    def ask(self, phase: str, step: int, positions: np.ndarray) -> None:
        """Have the samples at some positions of the order read."""
        pieces: list[Future[UserError | None]] = []
        if self._pool is not None:
            start = 0
            for piece in np.array_split(positions, min(len(positions), self.phases[phase].pieces(self.workers))):
                pieces.append(self._pool.submit(_read_piece, phase, step, start, piece))
                start += len(piece)
        self._asked[phase, step] = positions, pieces

    def take(self, phase: str, step: int) -> Batch:
        """Wait for what was asked for, and return it on the device.

        Raises:
            UserError: a sample that can't be read, named by shard and key; a worker that died.
        """
        positions, pieces = self._asked.pop((phase, step))
        if self._pool is None:
            return self.source.read(self.phases[phase].fields, positions, step).to(self.device)
        for piece in pieces:
            _check(piece)
        slots = {name: tensor[step % len(tensor), : len(positions)] for name, tensor in self._slots[phase].items()}
        batch = Batch(self.source.manifest_rows(positions), slots).to(self.device)
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()  # workers may write into the slots again
        return batch


def read_ahead(reader: Reader, phase: str, wanted: Iterable[tuple[int, np.ndarray]]) -> Iterator[Batch]:
    """Yield the batches of steps in order; those to come are asked for, and so drawn from `wanted`, while one is in use."""
    waiting: deque[int] = deque()
    for step, positions in wanted:
        reader.ask(phase, step, positions)
        waiting.append(step)
        if len(waiting) > reader.ahead(phase):
            yield reader.take(phase, waiting.popleft())
    while waiting:
        yield reader.take(phase, waiting.popleft())


def _make_slots(source: Source, phases: Mapping[str, Phase], workers: int) -> Slots:
    """Shared memory for the samples of each phase; one sample of each field tells its shape and type."""
    shapes: dict[str, dict[str, tuple[torch.Size, torch.dtype]]] = {}
    needed = 0
    for name, phase in phases.items():
        sample = source.read(phase.fields, np.zeros(1, np.int64), 0)
        count = phase.ahead(workers) + 1
        needed += slot_bytes(sample, phase, workers)
        shapes[name] = {
            field: (torch.Size((count, phase.samples, *tensor.shape[1:])), tensor.dtype)
            for field, tensor in sample.fields.items()
        }
    _require_shared_memory(needed)
    return {
        name: {field: torch.empty(shape, dtype=kind).share_memory_() for field, (shape, kind) in fields.items()}
        for name, fields in shapes.items()
    }


def slot_bytes(sample: Batch, phase: Phase, workers: int) -> int:
    """Bytes of memory that a phase's batches take, given one sample: those read ahead and the one in use."""
    return sum(tensor.nbytes for tensor in sample.fields.values()) * phase.samples * (phase.ahead(workers) + 1)


def _require_shared_memory(needed: int) -> None:
    """Check for enough shared memory, which would otherwise kill a worker without an error message."""
    if not SHARED_MEMORY.is_dir():
        return
    free = shutil.disk_usage(SHARED_MEMORY).free
    if needed > free:
        what = f"batches read ahead need {needed / 1e6:,.0f} MB of {SHARED_MEMORY}, and {free / 1e6:,.0f} MB are free"
        raise UserError("training.workers", what, "enlarge it (docker run --shm-size), or set workers to 0")


def _pinned(tensor: Tensor, device: torch.device) -> bool:
    """Lock shared memory in place where it feeds a GPU, so that copies run at the bus's speed; returns whether it is locked."""
    if device.type != "cuda":
        return False
    try:
        refused = int(torch.cuda.cudart().cudaHostRegister(tensor.data_ptr(), tensor.nbytes, 0))
    except RuntimeError as error:
        refused = str(error).splitlines()[0]  # type: ignore[assignment]
    if refused:
        log.warning(
            "%.0f MB of shared memory could not be locked in place (%s): batches are copied to the GPU more slowly; "
            "raise the limit of locked memory (ulimit -l) to avoid it",
            tensor.nbytes / 1e6,
            refused,
        )
    return not refused


_source: Source  # in a worker: what it reads
_shared: Slots  # and where it writes


def _start_pool(source: Source, slots: Slots, workers: int) -> ProcessPoolExecutor:
    # torch's context sends shared tensors by their handle where processes are spawned; where they are forked nothing is sent.
    context = torch.multiprocessing.get_context(multiprocessing.get_start_method())
    return ProcessPoolExecutor(workers, context, _begin, (source, slots))


def _begin(source: Source, slots: Slots) -> None:
    """Set up a worker: one thread, signals left to the trainer, and it ends with the trainer."""
    global _source, _shared
    _source, _shared = source, slots
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """End when the parent process has ended: the trainer, or the fork server that ends with it."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)


def _read_piece(phase: str, step: int, start: int, positions: np.ndarray) -> UserError | None:
    """Read some samples into their step's slot; returns the error, if there is one."""
    slots = _shared[phase]
    try:
        found = _source.read(slots, positions, step)
    except UserError as error:
        return error
    for name, tensor in slots.items():
        tensor[step % len(tensor), start : start + len(positions)] = found[name]
    return None


def _check(piece: Future[UserError | None]) -> None:
    try:
        error = piece.result()
    except BrokenProcessPool:
        what = "a process that reads samples was killed, most likely because memory ran out"
        raise UserError("training.workers", what, "use fewer, and give the same command again") from None
    if error is not None:
        raise error
