"""Finished directories, copied to an address and back. The stamp goes last, so that one that is half there counts as none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from superbatch.artifacts.atomic import atomic_directory
from superbatch.artifacts.stamps import STAMP
from superbatch.errors import UserError
from superbatch.stores.asking import ask


def has_directory(url: str) -> bool:
    """Tell whether a finished directory lies at an address.

    Raises:
        UserError: a store that can't be read.
    """
    return ask(f"{url}/{STAMP}", lambda files, path: bool(files.exists(path)))


def send_directory(directory: Path, url: str) -> bool:
    """Copy a finished directory to an address, in the place of what lies there; returns whether that was anything else.

    Raises:
        UserError: a store that can't be read or written.
    """
    if has_directory(url) and _read(f"{url}/{STAMP}") == (directory / STAMP).read_bytes():
        return False
    names = [file.relative_to(directory).as_posix() for file in sorted(directory.rglob("*")) if file.is_file()]
    _clear(url)
    for name in sorted(names, key=lambda name: name == STAMP):
        _send(directory / name, f"{url}/{name}")
    return True


def bring_directory(url: str, directory: Path) -> None:
    """Copy the finished directory at an address to this machine; it is whole there or not at all.

    Raises:
        UserError: none is there, or a file of it is missing or cut; a store that can't be read; a full disk.
    """
    stamp = _read(f"{url}/{STAMP}")
    known: dict[str, Any] = json.loads(stamp)
    with atomic_directory(directory) as place:
        for name, size in known["files"].items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            _bring(f"{url}/{name}", place / name, int(size))
        (place / STAMP).write_bytes(stamp)


def _read(url: str) -> bytes:
    return ask(url, lambda files, path: bytes(files.cat_file(path)))


def _clear(url: str) -> None:
    """Remove what lies at an address, the stamp first."""
    ask(f"{url}/{STAMP}", lambda files, path: files.rm_file(path) if files.exists(path) else None)
    ask(url, lambda files, path: files.rm(path, recursive=True) if files.find(path) else None)


def _send(file: Path, url: str) -> None:
    ask(url, lambda files, path: files.put_file(str(file), path))


def _bring(url: str, file: Path, size: int) -> None:
    ask(url, lambda files, path: files.get_file(path, str(file)))
    if file.stat().st_size != size:
        what = f"has {file.stat().st_size:,} bytes, its stamp says {size:,}"
        raise UserError(url, what, "copy the directory there again")
