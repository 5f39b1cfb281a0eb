"""Directories that are built once: each carries a stamp with the fingerprint of what went into it.

A node builds into a staging folder and returns a `Staged`; the data set that saves it renames it into place. The next run reads the
stamp there and finds out that nothing has to be done. The stamp alone decides, so it does not matter how the directory came to its place.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from superbatch.artifacts.atomic import atomic_directory, replace_directory, write_json
from superbatch.artifacts.places import places
from superbatch.artifacts.shelf import copy_linked, shelve, shelved
from superbatch.errors import UserError
from superbatch.files import read_json

log = logging.getLogger(__name__)
STAMP = "stage.stamp"  # JSON inside every published directory: the fingerprint it was built under, its files and their sizes
NOT_FINISHED = "not there yet, or not finished"


@dataclass(frozen=True)
class Staged:
    """A finished directory: waiting in the staging folder, or already in place.

    Attributes:
        path: the directory.
        fingerprint: of everything that went into it.
        root: the staging folder.
        elsewhere: another process publishes it: the one with rank 0 of a training in several.
        stays: it stands in some place and is not to be moved from there.
    """

    path: Path
    fingerprint: str
    root: Path
    elsewhere: bool = False
    stays: bool = False


def read_stamp(directory: Path) -> str | None:
    """Return the fingerprint that a directory was built under; None where it is not finished, or where files of it are missing or cut."""
    return None if fault(directory) else str(_stamp(directory)["fingerprint"])


def fault(directory: Path) -> tuple[Path, str] | None:
    """Find what keeps a directory from being finished and whole; None if nothing does.

    Returns:
        The path at fault, and what is wrong with it: no stamp, a stamp that can't be read, or a file of another size than the stamp says.
    """
    if not (directory / STAMP).is_file():
        return directory, NOT_FINISHED
    stamp = _stamp(directory)
    if "fingerprint" not in stamp:
        return directory / STAMP, "is damaged"
    for name, size in stamp.get("files", {}).items():
        file = directory / name
        if not file.is_file():
            return file, "is missing, though its stage had written it"
        if file.stat().st_size != size:
            return file, f"is damaged: {file.stat().st_size:,} bytes, and its stage had written {size:,}"
    return None


def _stamp(directory: Path) -> dict[str, Any]:
    """Read a directory's stamp; empty where it is damaged: then it says nothing."""
    try:
        stamp = read_json(directory / STAMP)
    except UserError:
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(directory: Path, fingerprint: str) -> None:
    """Declare a directory finished: nothing in it changes from now on."""
    files = {
        file.relative_to(directory).as_posix(): file.stat().st_size
        for file in sorted(directory.rglob("*"))
        if file.is_file() and file != directory / STAMP
    }
    write_json(directory / STAMP, {"fingerprint": fingerprint, "files": files})


def find_stage(fingerprint: str, root: Path, *waiting: Path) -> Staged | None:
    """Return the directory built under this fingerprint, if there is one: in its place, waiting in staging, or in another place.

    Args:
        fingerprint: of inputs, settings and format.
        root: the staging folder.
        waiting: other folders where it may wait (a training's state folder).
    """
    moved = (root / fingerprint, *waiting)
    for path in chain(
        places(), moved, shelved(fingerprint, root)
    ):  # the shelf is searched last: reading its records is slower
        if read_stamp(path) == fingerprint:
            return Staged(path, fingerprint, root, stays=path not in moved)
    return None


def build_once(
    what: str, fingerprint: str, root: Path, write: Callable[[Path], None], *, fresh: bool = False
) -> Staged:
    """Return the directory of a fingerprint, building it with `write(directory)` unless it is there already.

    Args:
        what: its name, for the log line.
        fingerprint: of inputs, settings and format.
        root: the staging folder.
        write: fills an empty directory; what it leaves half-done on an error is removed.
        fresh: build again even so.
    """
    found = None if fresh else find_stage(fingerprint, root)
    if found is not None:
        log.info("%s: up to date (%s)", what, fingerprint)
        return found
    with atomic_directory(root / fingerprint) as directory:
        write(directory)
        write_stamp(directory, fingerprint)
    return Staged(root / fingerprint, fingerprint, root)


def build_kept(what: str, fingerprint: str, root: Path, write: Callable[[Path, Path], None]) -> Staged:
    """As `build_once`, with a second folder for `write(directory, folder)`: what is finished in it outlives a kill, until all is.

    Args:
        what, fingerprint, root: as of `build_once`.
        write: fills the directory, and finds in the folder what an earlier start had finished.
    """
    kept = root / "kept" / fingerprint
    staged = build_once(what, fingerprint, root, lambda directory: write(directory, kept))
    shutil.rmtree(kept, ignore_errors=True)
    return staged


def publish(staged: Staged, target: Path) -> None:
    """Move a staged directory to its place; copy one that is already in another place.

    Killed at any moment, `find_stage` finds it again: it is either where it was or, whole, in its place.
    """
    target, source = Path(target).resolve(), staged.path.resolve()
    if staged.elsewhere:
        return
    if staged.stays and source != target:
        copy_linked(source, target)
    elif source != target:
        _move(source, target, staged.fingerprint)
    shelve(target, staged.fingerprint, staged.root)


def _move(source: Path, target: Path, fingerprint: str) -> None:
    """Move a directory to its place, unless another command has just moved the same one there."""
    try:
        replace_directory(source, target)
    except FileNotFoundError:
        if read_stamp(target) != fingerprint:
            raise
