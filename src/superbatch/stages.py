"""Directories that are built once: a stage's output is named by the fingerprint of what went into it.

A node builds into a staging folder and returns a `Staged`; the data set that saves it renames it into place and leaves a record, by which
the next run finds out that nothing has to be done. Kedro has no change detection of its own, and DVC's looks at whole pipelines.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from superbatch.files import atomic_directory, read_json, replace_directory, write_json

log = logging.getLogger(__name__)
STAMP = "stage.stamp"  # JSON inside every published directory: the fingerprint it was built under


@dataclass(frozen=True)
class Staged:
    """A finished directory: waiting in the staging folder, or already in place.

    Attributes:
        path: the directory.
        fingerprint: of everything that went into it.
        root: the staging folder, which also keeps the records of what was published where.
        elsewhere: another process publishes it: the one with rank 0 of a training in several.
    """

    path: Path
    fingerprint: str
    root: Path
    elsewhere: bool = False


def find_stage(fingerprint: str, root: Path, *waiting: Path) -> Staged | None:
    """Return the directory built under this fingerprint, if it still stands: published, or waiting in staging.

    Args:
        fingerprint: of inputs, settings and format.
        root: the staging folder.
        waiting: other places where it may wait (a training's state folder).
    """
    record = root / f"{fingerprint}.json"
    candidates = [Path(read_json(record)["path"])] if record.is_file() else []
    for path in [*candidates, root / fingerprint, *waiting]:
        stamp = path / STAMP
        if stamp.is_file() and read_json(stamp).get("fingerprint") == fingerprint:
            return Staged(path, fingerprint, root)
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
        write_json(directory / STAMP, {"fingerprint": fingerprint})
    return Staged(root / fingerprint, fingerprint, root)


def stamp(directory: Path, fingerprint: str, root: Path) -> Staged:
    """Declare a directory that was built elsewhere (a training's state folder) finished."""
    write_json(directory / STAMP, {"fingerprint": fingerprint})
    return Staged(directory, fingerprint, root)


def publish(staged: Staged, target: Path) -> None:
    """Put a staged directory at its place and record it; one published under another name is copied.

    Killed at any moment, `find_stage` finds it again: a directory that moves is recorded before it does.
    """
    if staged.elsewhere:
        return
    target = Path(target).resolve()
    source = staged.path.resolve()
    record = staged.root / f"{staged.fingerprint}.json"
    published = record.is_file() and Path(read_json(record)["path"]).resolve() == source
    if published and source != target:
        with atomic_directory(target) as directory:
            shutil.copytree(source, directory, dirs_exist_ok=True)
    write_json(record, {"path": str(target)})
    if not published and source != target:
        replace_directory(source, target)
