"""The interface of a tracker: five calls. A new tracker needs these, and a line in `packages`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class RunInfo:
    """What a tracker learns about a run when it starts.

    Attributes:
        name: the run's, for people.
        run_hash: names it for good; empty where it is not a training (the report).
        settings: by dotted name; values as they are.
    """

    name: str
    run_hash: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Return the name of its folder, which no other run has."""
        return "-".join(filter(None, [self.name, self.run_hash[:8]]))


@dataclass(frozen=True)
class Sent:
    """How much of a run a tracker has received; kept in the run's state folder.

    Attributes:
        steps: up to how many steps taken; -1: nothing yet.
        run_id: the tracker's own name of the run, if it has one.
        finished: whether it knows that the run is finished.
        results: fingerprints of what was sent of it besides, by kind (`found`).
    """

    steps: int = -1
    run_id: str | None = None
    finished: bool = False
    results: dict[str, str] = field(default_factory=dict)


class Tracker(Protocol):
    """A tracker of one run. All calls but making it come from one thread; what it raises switches it off."""

    def start(self, run: RunInfo, sent: Sent) -> Sent:
        """Begin a run, or go on with it.

        Args:
            run: which.
            sent: how far it was told. What it has beyond that, it drops; where it can't, it says that it has more.

        Returns:
            From where to go on, with its own name of the run.
        """

    def scalars(self, steps: int, values: dict[str, float]) -> None:
        """Note numbers after so many steps. No number of steps comes twice, but for results."""

    def figure(self, name: str, file: Path) -> None:
        """Note a picture, a PNG file; a later one of that name takes its place where the tracker can do so."""

    def flush(self) -> None:
        """Keep for good what was noted so far."""

    def finish(self, summary: dict[str, Any] | None) -> None:
        """End for now. `summary`: what the finished run came to, by dotted name; None where it isn't finished, or was before."""
