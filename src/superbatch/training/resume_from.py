"""A run that is continued from a state which lies elsewhere (`training.resume_from`): on another disk, or in another project."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from superbatch.artifacts.fingerprints import canonical
from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.training.state import list_states


def take_state_from(path: Path, state_dir: Path, identity: dict[str, Any]) -> None:
    """Continue a run whose state lies elsewhere (another disk, another project): copy it, unless this run has its own.

    Another run's state is refused, naming what differs.

    Raises:
        UserError: no state there, or one of another configuration.
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
    if not list_states(state_dir) and path.resolve() != state_dir.resolve():
        shutil.copytree(path, state_dir, dirs_exist_ok=True)


def _differences(theirs: Any, ours: Any, path: str = "") -> list[str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = sorted(theirs.keys() | ours.keys())
        return [
            line
            for key in keys
            for line in _differences(theirs.get(key), ours.get(key), f"{path}.{key}" if path else key)
        ]
    return [] if theirs == ours else [f"{path} is {theirs!r} there and {ours!r} here"]
