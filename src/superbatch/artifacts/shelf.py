"""What was published where, and a second name for each of its files.

DVC removes a stage's outputs before it runs the stage. The second names (hard links: they take no room) let the stage put back what
`kedro run` had made, instead of making it again. Both only help to find an artefact; whether it is the right one its own stamp says.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from superbatch.artifacts.atomic import atomic_directory, write_json
from superbatch.artifacts.fingerprints import fingerprint
from superbatch.errors import DiskFull
from superbatch.files import read_json

UNDER_DVC = "DVC_STAGE"  # set by DVC for the command of a stage: what is missing now, it may have removed


def shelve(place: Path, mark: str, root: Path) -> None:
    """Note what stands at a place, and keep second names of its files until something else is published there.

    Args:
        place: where a directory was just published.
        mark: its fingerprint.
        root: the staging folder.
    """
    relative = os.path.relpath(
        place, root.resolve()
    )  # so that a copied project does not look into the one it came from
    record = root / "published" / f"{fingerprint(relative)}.json"
    twin = record.with_suffix("")
    try:
        with atomic_directory(twin) as directory:
            shutil.copytree(place, directory, copy_function=os.link, dirs_exist_ok=True)
    except (OSError, DiskFull):  # another disk, or one without hard links
        shutil.rmtree(twin, ignore_errors=True)
    write_json(record, {"place": relative, "fingerprint": mark})


def shelved(mark: str, root: Path) -> list[Path]:
    """List where an artefact may be found that was published from here: other places, and what DVC has removed."""
    found: list[Path] = []
    for record in sorted((root / "published").glob("*.json")):
        noted = read_json(record)
        if noted["fingerprint"] == mark:
            found.append(root / noted["place"])
            found += [record.with_suffix("")] if os.environ.get(UNDER_DVC) else []
    return found


def copy_linked(source: Path, target: Path) -> None:
    """Copy a directory by second names of its files where that works, else by their content; it is whole or not there."""
    with atomic_directory(target) as directory:
        shutil.copytree(source, directory, copy_function=_link_or_copy, dirs_exist_ok=True)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)
