"""Arrays over the rows of a set, made in blocks of rows. A block is a file as soon as it is made, so that nothing is made twice.

Legend: N rows of the set, n of a block.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from superbatch.artifacts.atomic import atomic_path
from superbatch.jobs.backends import Needs
from superbatch.jobs.units import Told, run_units
from superbatch.options.jobs import JobsSettings

log = logging.getLogger(__name__)
Arrays = tuple[np.ndarray, ...]
Make = Callable[[int, int], Arrays]  # (first row, end) -> arrays of n rows each


@dataclass(frozen=True)
class Block:
    """Rows `start` to `end` (not included), and the file of their arrays."""

    start: int
    end: int
    file: Path

    def read(self) -> Arrays:
        """Return the block's arrays."""
        with np.load(self.file) as found:
            return tuple(found[key] for key in found.files)


def make_blocks(
    make: Make,
    count: int,
    rows: int,
    folder: Path,
    jobs: JobsSettings,
    *,
    what: str,
    description: str,
    needs: Needs | None = None,
) -> list[Block]:
    """Make arrays of all rows, block by block, and return the blocks in order; those whose files are there are not made again.

    Args:
        make: makes a block's arrays; it can be pickled.
        count: N.
        rows: of a block; the last one has what is left.
        folder: of the files. All that decides the arrays must decide the folder too, but `what` and `rows`.
        jobs: by which back end.
        what: the arrays are, for the files' names.
        description: for the progress bar.
        needs: what a worker needs.

    Raises:
        UserError: as `run_units`; a full disk.
    """
    blocks = [
        Block(start, min(start + rows, count), folder / f"{what}-{rows}-{start:012d}.npz")
        for start in range(0, count, rows)
    ]
    todo = [block for block in blocks if not block.file.is_file()]
    known = len(blocks) - len(todo)
    if known:
        log.info("%s: %s of %s blocks were there already", description, f"{known:,}", f"{len(blocks):,}")
    told = Told(description, "block", known)
    for _ in run_units(_Write(make), todo, jobs, told, name=_name, needs=needs):
        pass
    return blocks


@contextmanager
def folder_of_blocks(kept: Path | None, beside: Path | None = None) -> Iterator[Path]:
    """Yield the folder that keeps blocks until their stage is done; without one, a new one in `beside` (or for temporary files) that goes."""
    if kept is not None:
        yield kept
        return
    with TemporaryDirectory(prefix=".blocks", dir=beside) as folder:
        yield Path(folder)


@dataclass(frozen=True)
class _Write:
    """Makes a block and writes its file, unless another worker has done so. The file is the only result."""

    make: Make

    def __call__(self, block: Block) -> None:
        if block.file.is_file():
            return
        arrays = self.make(block.start, block.end)
        with atomic_path(block.file) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, *arrays)


def _name(block: Block) -> str:
    return f"rows {block.start:,} to {block.end - 1:,}"
