"""Feed one run to one tracker, in its own thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from superbatch.tracking.points import Growing, Point, Whole
from superbatch.tracking.sent import read_sent, write_sent
from superbatch.tracking.tracker import RunInfo, Sent, Tracker

LOOK = 1.0  # seconds between two looks at the records
AT_ONCE = 100  # points between two notes of how far a tracker was told


Failed = Callable[[Exception], None]  # called in the thread as soon as some work raises an error


class Task(threading.Thread):
    """Work that the command does not wait for, in a thread that ends with the process."""

    def __init__(self, name: str, work: Callable[[], None], failed: Failed) -> None:
        super().__init__(name=f"tracking-{name}", daemon=True)
        self.work, self.failed = work, failed

    def run(self) -> None:
        """Do the work."""
        try:
            self.work()
        except Exception as error:
            self.failed(error)


class Feed:
    """Tells a tracker of a run: its steps while it goes on, the rest and what it came to once it is finished.

    Args:
        name: of the tracker.
        tracker: it, not started yet.
        run: which run.
        state_dir: the run's state folder. records: the folder of its records there.
        every: as in the settings.
        failed: called with what the tracker raises.
    """

    def __init__(
        self, name: str, tracker: Tracker, run: RunInfo, state_dir: Path, records: Path, every: int, failed: Failed
    ) -> None:
        self.name, self.tracker, self.run = name, tracker, run
        self.state_dir, self.records, self.every = state_dir, records, every
        self.sent = Sent()
        self.whole: Whole | None = None
        self.summary: dict[str, Any] = {}
        self.ended = threading.Event()
        self._identity_before = self._identity()
        self.task = Task(f"{name}-{run.name}", self._work, failed)

    def finish(self, whole: Whole, summary: dict[str, Any]) -> None:
        """Say that the run is finished: what it recorded, and what it came to."""
        self.whole, self.summary = whole, summary
        self.ended.set()

    def _identity(self) -> int | None:
        """When the run last started or continued: by then its state folder is cleaned up."""
        file = self.state_dir / "identity.json"
        return file.stat().st_mtime_ns if file.is_file() else None

    def _has_begun(self) -> bool:
        return self._identity() not in (None, self._identity_before)

    def _work(self) -> None:
        while not self._has_begun() and not self.ended.wait(LOOK):
            pass
        if not self._has_begun() and self.whole is None:
            return
        self.sent = self.tracker.start(self.run, read_sent(self.state_dir, self.name))
        growing = Growing(self.records, self.every, self.sent.steps)
        while not self.ended.is_set():
            self._send(growing.new())
            self.ended.wait(LOOK)
        if self.whole is None:
            self._send(growing.new())
            self.tracker.finish(None)
            return
        self._send(self.whole.points(self.sent.steps))
        self.tracker.finish(self.summary)
        self._note(replace(self.sent, steps=max(self.sent.steps, self.whole.steps), finished=True))

    def _send(self, points: Iterable[Point]) -> None:
        remaining = iter(points)
        while some := list(islice(remaining, AT_ONCE)):
            for point in some:
                self.tracker.scalars(point.steps, point.values)
            self.tracker.flush()
            self._note(replace(self.sent, steps=some[-1].steps))

    def _note(self, sent: Sent) -> None:
        self.sent = sent
        write_sent(self.state_dir, self.name, sent)
