"""How far each tracker was told of a run, on disk: one small JSON file a tracker, beside what it is about."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from superbatch.artifacts.atomic import write_json
from superbatch.files import read_json
from superbatch.tracking.tracker import Sent

FOLDER = "tracking"  # in a run's state folder


def read_sent(directory: Path, tracker: str) -> Sent:
    """Return how far a tracker was told; nothing yet where no file says so."""
    file = directory / FOLDER / f"{tracker}.json"
    known = {one.name for one in fields(Sent)}
    found = read_json(file) if file.is_file() else {}
    return Sent(**{name: value for name, value in found.items() if name in known})


def write_sent(directory: Path, tracker: str, sent: Sent) -> None:
    """Note how far a tracker was told."""
    file = directory / FOLDER / f"{tracker}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, vars(sent))
