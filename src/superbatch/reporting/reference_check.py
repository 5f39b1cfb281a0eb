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
    found = [dict(read_json(file)) for file in files if file.is_file()]
    own = main.settings.get("reference")
    return next((one for one in found if own in (None, one["reference"])), None)


def reference_of(runs: Sequence[Run], main: Run) -> Run | None:
    """Return the reference that a run was trained with, or else the first one there is; None without any."""
    references = [run for run in runs if run.role == "reference"]
    own = [run for run in references if weights_of(run) == main.settings.get("reference")]
    return next(iter(own or references), None)


def weights_of(reference: Run) -> str | None:
    """Return the SHA-256 of a reference's weights; None where it was not recorded."""
    return (reference.record.get("digests") or {}).get("weights")


def check_caution(found: dict[str, Any] | None) -> str:
    """Say what to bear in mind of a reference that was not found to help; empty where there is nothing."""
    if found is None or found["verdict"] == "helps":
        return ""
    return f"The reference check: {found['sentence']}."
