"""Finished directories, copied to an address and back. The stamp goes last, so that one that is half there counts as none."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from superbatch.artifacts.atomic import atomic_directory
from superbatch.artifacts.stamps import STAMP
from superbatch.errors import UserError
from superbatch.stores.address import Address
from superbatch.stores.asking import ask
from superbatch.stores.kinds import bring, info_of
from superbatch.stores.objects import content_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


def has_directory(url: str) -> bool:
    """Tell whether a finished directory lies at an address.

    Raises:
        UserError: a store that can't be read.
    """
    return ask(f"{url}/{STAMP}", _is_there)


def send_directory(directory: Path, url: str) -> bool:
    """Copy a finished directory to an address, in the place of the one there; returns whether that was any other.

    Of what lies there, only what the stamp of an earlier directory names is removed.

    Raises:
        UserError: a store that can't be read or written.
    """
    stamp, before = directory / STAMP, content_of(Address(f"{url}/{STAMP}")) if has_directory(url) else None
    if before == stamp.read_bytes():
        return False
    if before is not None:
        _remove(f"{url}/{STAMP}")
    names = _files(stamp.read_bytes())
    for name in (*names, STAMP):
        _send(directory / name, f"{url}/{name}")
    for name in _files(before) if before is not None else ():
        if name not in names:
            _remove(f"{url}/{name}")
    return True


def bring_directory(url: str, directory: Path) -> None:
    """Copy the finished directory at an address to this machine; it is whole there or not at all.

    Raises:
        UserError: none is there, or a file of it is missing or cut; a store that can't be read; a full disk.
    """
    stamp = content_of(Address(f"{url}/{STAMP}"))
    with atomic_directory(directory) as place:
        for name, size in _files(stamp).items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            _bring(f"{url}/{name}", place / name, size)
        (place / STAMP).write_bytes(stamp)


def _files(stamp: bytes) -> dict[str, int]:
    """Return the files of a directory, and their bytes, by its stamp."""
    found: dict[str, int] = json.loads(stamp)["files"]
    return found


def _is_there(files: AbstractFileSystem, path: str) -> bool:
    try:
        info_of(files, path)
    except FileNotFoundError:
        return False
    return True


def _remove(url: str) -> None:
    ask(url, lambda files, path: files.rm_file(path) if _is_there(files, path) else None)


def _send(file: Path, url: str) -> None:
    ask(url, lambda files, path: files.put_file(str(file), path))


def _bring(url: str, file: Path, size: int) -> None:
    ask(url, partial(bring, file=file))
    if file.stat().st_size != size:
        what = f"has {file.stat().st_size:,} bytes, its stamp says {size:,}"
        raise UserError(url, what, "copy the directory there again")
