"""DVCLive: tables and JSON, a folder a run, which `dvc plots`, `dvc metrics` and DVC's extension for VS Code read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from dvclive import Live

from superbatch.artifacts.atomic import atomic_path
from superbatch.tracking.tracker import RunInfo, Sent, Tracker


def make(folder: Path) -> Tracker:
    """Return the tracker, whose runs lie in `folder`."""
    return DVCLive(folder)


class _Files(Live):
    """DVCLive that writes its files and nothing else.

    Its own way to begin turns a git repository into one of DVC, and fails in one without a commit.
    """

    def _init_dvc(self) -> None:
        self._dvc_file = "dvc.yaml"


class DVCLive:
    """Writes DVCLive's files; rows beyond what is known to be kept are dropped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._live: Any = None

    def start(self, run: RunInfo, sent: Sent) -> Sent:
        """Open the run's folder, or begin it anew."""
        directory = self.folder / run.folder
        if sent.steps < 0:
            shutil.rmtree(directory, ignore_errors=True)
        for table in directory.glob("plots/metrics/**/*.tsv"):
            drop_after(table, sent.steps)
        self._live = _Files(str(directory), resume=True, save_dvc_exp=False, dvcyaml=None, report=None)
        if sent.steps < 0 and run.settings:
            self._live.log_params({name: as_param(value) for name, value in run.settings.items()})
        return sent

    def scalars(self, steps: int, values: dict[str, float]) -> None:
        """Append a row to each number's table."""
        self._live.step = steps
        for name, value in values.items():
            self._live.log_metric(name, value)

    def figure(self, name: str, file: Path) -> None:
        """Copy the picture."""
        self._live.log_image(f"{name}{file.suffix}", file)

    def flush(self) -> None:
        """Write the last value of each number; the tables are written at once."""
        self._live.make_summary()

    def finish(self, summary: dict[str, Any] | None) -> None:
        """Write the last values, what the run came to among them."""
        if summary:
            self._live.summary["summary"] = summary
        self._live.end()


def as_param(value: Any) -> Any:
    """Return what DVCLive takes as a parameter."""
    return value if isinstance(value, int | float | str | bool) else str(value)


def drop_after(table: Path, steps: int) -> None:
    """Drop the rows of a table that stand after so many steps; one that a kill cut off goes too, and a table without a whole header."""
    header, *rows = table.read_text().splitlines(keepends=True) or [""]
    if not header.endswith("\n"):
        table.unlink()
        return
    column = header.rstrip("\n").split("\t").index("step")
    kept = [row for row in rows if row.endswith("\n") and int(row.split("\t")[column]) <= steps]
    if len(kept) < len(rows):
        with atomic_path(table) as temporary:
            temporary.write_text("".join([header, *kept]))
