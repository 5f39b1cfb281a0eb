"""What the check of the reference found, as far as it is about the reference that a run was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from superbatch.files import read_json
from superbatch.reporting.runs import Run

FILE = Path("check") / "check.json"  # beside the reference's training


def check_of(runs: Sequence[Run], main: Run) -> dict[str, Any] | None:
    """Return the check that lies beside a reference among the runs; None without one, and where the run used another reference."""
    files = [run.path / FILE for run in runs if run.role == "reference"]
    found = next((dict(read_json(file)) for file in files if file.is_file()), None)
    own = main.settings.get("reference")
    return found if found is not None and own in (None, found["reference"]) else None


def check_caution(found: dict[str, Any] | None) -> str:
    """Say what to bear in mind of a reference that was not found to help; empty where there is nothing."""
    if found is None or found["verdict"] == "helps":
        return ""
    return f"The reference check: {found['sentence']}."
