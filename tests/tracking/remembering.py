"""A tracker that keeps what it was told in a file, so that it outlives the process that told it; it can be slow, or break."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

from superbatch.tracking import RunInfo
from superbatch.tracking.tracker import Sent


class Remembering:
    """Appends a line of JSON for each call.

    Args:
        file: where.
        breaks_at: steps at which it raises. hangs: an event that it waits for at its first point.
    """

    def __init__(self, file: Path, breaks_at: int | None = None, hangs: threading.Event | None = None) -> None:
        self.file, self.breaks_at, self.hangs = file, breaks_at, hangs

    def _keep(self, what: str, *values: object) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with open(self.file, "a") as stream:
            stream.write(json.dumps([what, *values]) + "\n")

    def start(self, run: RunInfo, sent: Sent) -> Sent:
        self._keep("start", run.name, sent.steps, sent.run_id)
        return replace(sent, run_id=sent.run_id or f"id-{run.name}")

    def scalars(self, steps: int, values: dict[str, float]) -> None:
        if self.hangs is not None:
            self.hangs.wait()
        if self.breaks_at is not None and steps >= self.breaks_at:
            raise ConnectionError("the server\nis gone")
        self._keep("scalars", steps, values)

    def figure(self, name: str, file: Path) -> None:
        self._keep("figure", name, str(file))

    def flush(self) -> None:
        self._keep("flush")

    def finish(self, summary: dict | None) -> None:
        self._keep("finish", summary)


def told(file: Path, what: str = "scalars") -> list[list]:
    """What a tracker was told, without the name of the call."""
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    return [line[1:] for line in lines if line[0] == what]
