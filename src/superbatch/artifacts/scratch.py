"""Arrays in mapped files that have their space from the start. Those with a value a row need not fit into memory: small ones are plain, large ones lie in a file without a name.

The file is mapped. Its pages are the system's, which writes them out and takes them back when memory is short, and it is gone with the
array, however the process ends.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from superbatch.artifacts.atomic import FULL
from superbatch.errors import DiskFull

IN_MEMORY = 32 << 20  # bytes; larger arrays are on disk
PIECE = 1 << 20  # rows processed at a time
LASTING = Path("/var/tmp")  # on disk, where /tmp may be memory


def scratch(rows: int, kind: np.dtype | type, fill: float | None = None) -> np.ndarray:
    """Return an array of zeros, or of another value, shape (rows,), for this process alone.

    Large ones lie in the folder that TMPDIR names, else in /var/tmp, else where the system has temporary files.

    Raises:
        DiskFull: no room for it there.
    """
    size = rows * np.dtype(kind).itemsize
    found = np.zeros(rows, kind) if size <= IN_MEMORY else _mapped(rows, np.dtype(kind))
    if fill is not None:
        for piece in pieces(rows):
            found[piece] = fill
    return found


def pieces(rows: int, size: int | None = None) -> Iterator[slice]:
    """Cut rows into neighbouring pieces of a size, PIECE by default."""
    step = size or PIECE
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def scratch_folder() -> str:
    """Return where large arrays lie."""
    if os.environ.get("TMPDIR") or not os.access(LASTING, os.W_OK):
        return tempfile.gettempdir()
    return str(LASTING)


def new_npy(file: Path, kind: np.dtype | type, shape: tuple[int, ...]) -> np.memmap:
    """Make a .npy file of zeros that has all its space already, and return it mapped for writing.

    Raises:
        DiskFull: no room for it there.
    """
    found: np.memmap = np.lib.format.open_memmap(file, "w+", kind, shape)
    with open(file, "r+b") as stream:
        size = os.fstat(stream.fileno()).st_size
        if not _reserved(stream.fileno(), size):
            raise DiskFull(str(file), f"the disk has no room for its {size / 1e6:,.1f} MB")
    return found


def _mapped(rows: int, kind: np.dtype) -> np.ndarray:
    folder, size = scratch_folder(), rows * kind.itemsize
    with tempfile.TemporaryFile(dir=folder) as file:
        if not _reserved(file.fileno(), size):
            what = f"has no room for {size / 1e9:,.1f} GB of numbers a row"
            raise DiskFull(folder, what, "make room, or set TMPDIR to a folder that has it")
        return np.asarray(np.memmap(file, kind, "r+", shape=(rows,)))


def _reserved(descriptor: int, size: int) -> bool:
    """Reserve a file's space now: if it ran out later, writing to the mapped file would kill the process without a message.

    Returns:
        False if the disk is full.
    """
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
        else:
            os.ftruncate(descriptor, size)
    except OSError as error:
        if error.errno in FULL:
            return False
        raise
    return True
