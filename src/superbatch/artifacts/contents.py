"""Files by their content, objects of a store by their marks. What was read once is not read again while the file stays as it was, but this decides nothing:
in a fresh clone, after `touch` or in a copied folder the files are read anew, and found to be the same.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from superbatch.artifacts.atomic import write_json
from superbatch.artifacts.fingerprints import file_sha256
from superbatch.errors import UserError
from superbatch.jobs.units import Told, run_units
from superbatch.options.jobs import JobsSettings
from superbatch.stores.address import Address, Place
from superbatch.stores.objects import look_at_all

SETTLED = 2.0  # seconds: a file that changed later than that may change again within one tick of its clock


def content_digests(places: Sequence[Place], cache: Path, jobs: int | JobsSettings = 1) -> list[str]:
    """Return the SHA-256 of each file, and size and mark of each object: its store knows without reading it.

    Args:
        places: files and objects; order and repeats are kept.
        cache: a JSON file that keeps the digests with each file's size, times and inode. It may be deleted at any time.
        jobs: files that are read at a time, or by which back end they are read.

    Raises:
        UserError: a file or an object that can't be read.
    """
    objects = [place for place in places if isinstance(place, Address)]
    marks = {one.address: f"{one.size} {one.mark}" for one in look_at_all(dict.fromkeys(objects))} if objects else {}
    files = [place for place in places if isinstance(place, Path)]
    digests = dict(zip(files, _file_digests(files, cache, jobs), strict=True))
    return [marks[place] if isinstance(place, Address) else digests[place] for place in places]


def _file_digests(files: list[Path], cache: Path, jobs: int | JobsSettings) -> list[str]:
    known = _read(cache)
    found = {str(file): known.get(str(file), [None, None]) for file in files}
    states = {name: _state(Path(name)) for name in found}
    todo = [name for name, state in states.items() if found[name][0] != state]
    for name, digest in zip(todo, _hash_all(todo, JobsSettings.of(jobs).threads()), strict=True):
        found[name] = [states[name], digest]
    if todo:
        _write(cache, known | found)
    return [found[str(file)][1] for file in files]


def _hash_all(names: list[str], jobs: JobsSettings) -> list[str]:
    found = dict(run_units(_hash, names, jobs, Told("checksums", "file")))
    return [found[number] for number in range(len(names))]


def _hash(name: str) -> str:
    with _told(name):
        return file_sha256(Path(name))


@contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"can't be read ({error.strerror or error})"
        raise UserError(name, what, "check the file and the shards setting") from None


def _state(file: Path) -> list[int]:
    with _told(str(file)):
        stat = os.stat(file)
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _read(cache: Path) -> dict[str, Any]:
    """Read the cache; empty if it can't be read."""
    try:
        return dict(json.loads(cache.read_text()))
    except (OSError, ValueError):
        return {}


def _write(cache: Path, found: dict[str, Any]) -> None:
    """Save the digests of files that have not changed for a while."""
    recent = (time.time() - SETTLED) * 1e9
    kept = {
        name: entry
        for name, entry in found.items()
        if os.path.isfile(name) and entry[0] == _state(Path(name)) and max(entry[0][1:3]) < recent
    }
    if kept:
        write_json(cache, kept)
