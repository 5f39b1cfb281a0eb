"""A run that is continued from a state which lies elsewhere (`training.resume_from`): on another disk, or in another project."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from superbatch.artifacts.atomic import atomic_directory, atomic_path
from superbatch.artifacts.fingerprints import canonical
from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.training.state import list_states


def take_state_from(path: Path, state_dir: Path, identity: dict[str, Any]) -> None:
    """Continue a run whose state lies elsewhere (another disk, another project): copy it, unless this run has its own.

    Another run's state is refused, naming what differs.

    Raises:
        UserError: no state there, or one of another configuration; a full disk.
    """
    file = path / "identity.json"
    if not file.is_file():
        raise UserError(
            f"training.resume_from: {path}", "holds no training state", "name a folder under data/06_models/.state"
        )
    differences = _differences(read_json(file), canonical(identity))
    if differences:
        raise UserError(
            f"training.resume_from: {path}",
            f"is another run's state: {'; '.join(differences[:3])}",
            "match the settings, or start from scratch",
        )
    if list_states(state_dir):
        return
    if not list_states(path):
        what = "has no checkpoint: the run there was not trained long enough, or it has finished"
        raise UserError(
            f"training.resume_from: {path}", what, "name another folder, or leave it out to start from scratch"
        )
    _copy(path, state_dir)


def _copy(path: Path, state_dir: Path) -> None:
    """Copy a state folder. Its checkpoints come last, the newest of them first, each whole or not at all.

    So a copy that is killed is made again, or has the newest checkpoint and all that belongs to it.
    """
    states = list_states(path)
    others = sorted(found for found in path.iterdir() if found not in states and not found.name.startswith("."))
    for source in (*others, *reversed(states)):
        target = state_dir / source.name
        if source.is_dir():
            with atomic_directory(target) as directory:
                shutil.copytree(source, directory, dirs_exist_ok=True)
        else:
            with atomic_path(target) as file:
                shutil.copyfile(source, file)


def _differences(theirs: Any, ours: Any, path: str = "") -> list[str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = sorted(theirs.keys() | ours.keys())
        return [
            line
            for key in keys
            for line in _differences(theirs.get(key), ours.get(key), f"{path}.{key}" if path else key)
        ]
    return [] if theirs == ours else [f"{path} is {theirs!r} there and {ours!r} here"]
