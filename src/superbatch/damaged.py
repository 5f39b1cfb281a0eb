"""After an error that nobody foresaw: is one of the files damaged that the node read?

Stamps know the sizes of files, not their content, so a file with other bytes and the same size is found here and nowhere before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from superbatch.artifacts.stamps import STAMP
from superbatch.errors import UserError
from superbatch.files import shown


def require_readable(inputs: Iterable[Any]) -> None:
    """Look through what a node read for a file that can't be read.

    Args:
        inputs: of the node: directories are looked through, and what a partitioned data set calls by name; the rest is left alone.

    Raises:
        UserError: the first such file, with the folder to delete.
    """
    for folder in _folders(inputs):
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            why = unreadable(file)
            if why:
                remedy = f"delete {shown(_stage_of(file, folder))} and give the same command again"
                raise UserError(str(shown(file)), f"is damaged ({why})", remedy)


def unreadable(file: Path) -> str | None:
    """Say why a file of a known kind can't be read; None where it can, or where its kind is not known."""
    check = CHECKS.get(file.suffix)
    if check is None:
        return None
    from safetensors import SafetensorError

    try:
        check(file)
    except (OSError, ValueError, EOFError, SafetensorError) as error:  # pyarrow's own errors derive from the first two
        system = getattr(error, "errno", None) is not None or isinstance(error, UnicodeEncodeError)
        return None if system else " ".join(str(error).split())  # a file that the system can't open may be whole
    return None


def _folders(inputs: Iterable[Any]) -> Iterator[Path]:
    for given in inputs:
        parts = (load() for load in given.values() if callable(load)) if isinstance(given, dict) else (given,)
        yield from (part for part in parts if isinstance(part, Path) and part.is_dir())


def _stage_of(file: Path, folder: Path) -> Path:
    """Return the folder that a stage wrote the file in: the nearest with a stamp."""
    above = (parent for parent in file.parents if parent.is_relative_to(folder))
    return next((parent for parent in above if (parent / STAMP).is_file()), folder)


def _parquet(file: Path) -> None:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(file) as content:
        for _ in content.iter_batches():
            pass


def _arrow(file: Path) -> None:
    import pyarrow as pa

    with pa.memory_map(str(file)) as source, pa.ipc.open_file(source) as content:
        for number in range(content.num_record_batches):
            content.get_batch(number)


def _tensors(file: Path) -> None:
    from safetensors import safe_open

    with safe_open(file, "np"):
        pass


def _array(file: Path) -> None:
    import numpy as np

    np.lib.format.open_memmap(file, mode="r")


CHECKS: dict[str, Callable[[Path], Any]] = {
    ".json": lambda file: json.loads(file.read_text()),
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".safetensors": _tensors,
    ".npy": _array,
}
