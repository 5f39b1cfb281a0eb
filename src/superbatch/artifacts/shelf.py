"""A record of what was published where, with a second name (hard link) for each of its files.

DVC removes a stage's outputs before it runs the stage. The second names (hard links: they take no room while the first ones stand) let
the stage put back what `kedro run` had made, instead of making it again. Both only help to find an artefact; whether it is the right
one its own stamp says.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from superbatch.artifacts.atomic import atomic_directory, write_json
from superbatch.artifacts.fingerprints import fingerprint
from superbatch.errors import DiskFull, UserError
from superbatch.files import read_json


def under_dvc() -> bool:
    """Whether DVC runs this command as a stage; then DVC may have removed what is missing."""
    return "DVC_STAGE" in os.environ


def shelve(place: Path, mark: str, root: Path) -> None:
    """Note what is at a place, and keep second names of its files until something else is there.

    Args:
        place: where a directory is published; its links are resolved.
        mark: its fingerprint.
        root: the staging folder.
    """
    record = _record(place, root)
    twin = record.with_suffix("")
    if _noted(record).get("fingerprint") == mark and _same_files(place, twin):
        return
    try:
        with atomic_directory(twin) as directory:
            shutil.copytree(place, directory, copy_function=os.link, dirs_exist_ok=True)
    except (OSError, DiskFull):  # another disk, or one without hard links
        shutil.rmtree(twin, ignore_errors=True)
    write_json(record, {"place": _relative(place, root), "fingerprint": mark})


def drop_names(place: Path, root: Path) -> None:
    """Drop the second names of what is at a place: DVC now moves it into its cache and puts copies there."""
    shutil.rmtree(_record(place, root).with_suffix(""), ignore_errors=True)


def shelved(mark: str, root: Path) -> Iterator[Path]:
    """Yield where an artefact may be found that was published from here: other places, and what DVC has removed."""
    for record in sorted((root / "published").glob("*.json")):
        noted = _noted(record)
        if noted.get("fingerprint") == mark:
            yield root / noted["place"]
            if under_dvc():
                yield record.with_suffix("")


def copy_linked(source: Path, target: Path) -> None:
    """Copy a directory by second names of its files where that works, else by their content; it is whole or not there."""
    with atomic_directory(target) as directory:
        link_into(source, directory)


def link_into(source: Path, directory: Path) -> None:
    """Give the files of a directory second names in another one, or copies where that does not work."""
    shutil.copytree(source, directory, copy_function=_link_or_copy, dirs_exist_ok=True)


def _noted(record: Path) -> dict[str, str]:
    """Read a record; one that is missing or damaged knows nothing."""
    try:
        return dict(read_json(record))
    except (UserError, TypeError, ValueError):
        return {}


def _record(place: Path, root: Path) -> Path:
    return root / "published" / f"{fingerprint(_relative(place, root))}.json"


def _relative(place: Path, root: Path) -> str:
    """Return a path relative to the staging folder, so that a copied project does not look into the original."""
    return os.path.relpath(place.resolve(), root.resolve())


def _same_files(place: Path, twin: Path) -> bool:
    """Whether the hard links still point to the files of the place."""
    files = [path.relative_to(place) for path in place.rglob("*") if path.is_file()]
    return all((twin / file).is_file() and (twin / file).samefile(place / file) for file in files)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)
