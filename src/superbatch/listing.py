"""Listing what a name or a glob stands for, on this machine or wherever fsspec reaches. Imported when something is listed."""

from __future__ import annotations

import os
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.core import split_protocol
from fsspec.implementations.local import LocalFileSystem

from superbatch.stores.asking import ask
from superbatch.stores.kinds import forget_listings

HERE = (None, *LocalFileSystem.protocol)


class ThisMachine(LocalFileSystem):
    """Files of this machine, by paths as they are written, relative or not; linked folders are folders like others."""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.rstrip("/") or "/"

    def info(self, path: str | os.DirEntry[str], **options: Any) -> dict[str, Any]:
        """Describe a file, as fsspec does; its own glob would pass by a link to a folder, and miss the shards in it."""
        found: dict[str, Any] = super().info(path, **options)
        if found["islink"] and os.path.isdir(found["name"]):
            found["type"] = "directory"
        return found


def place_of(pattern: str) -> tuple[str | None, str]:
    """Split a pattern into what stands before `://`, such as s3, and the path; None for this machine, `file://` or not."""
    protocol, path = split_protocol(pattern)
    return None if protocol in HERE else protocol, path


def matches(pattern: str) -> list[str]:
    """List what a name or a glob stands for, in order; empty where it stands for nothing.

    A name that is there as it is written is itself, whatever its brackets. As in a shell, `*` takes no hidden file.

    Args:
        pattern: a path, relative to the working directory or not, or an address (`memory://pool/*.tar`).

    Returns:
        Paths like the pattern, relative or not; addresses for an address.

    Raises:
        ValueError: `**` beside other characters.
        UserError: a store that can't be read.
    """
    protocol, path = place_of(pattern)
    if protocol:
        return ask(pattern, lambda files, name: [files.unstrip_protocol(hit) for hit in _listed(files, name)])
    if os.path.isabs(path):
        return _listed(ThisMachine(), path)
    return [hit.removeprefix("./") for hit in _listed(ThisMachine(), f"./{path}")]


def _listed(files: AbstractFileSystem, pattern: str) -> list[str]:
    forget_listings(files)
    if files.lexists(pattern):
        return [pattern]
    return [hit for hit in files.glob(pattern) if _hidden(hit) <= _hidden(pattern)]


def _hidden(path: str) -> int:
    """Count the parts of a path that begin with a dot."""
    return f"/{path}".count("/.")
