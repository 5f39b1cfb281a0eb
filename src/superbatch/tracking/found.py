"""What is sent to trackers at the end of a command: evaluation results, and the report's figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from superbatch.artifacts.fingerprints import file_sha256, fingerprint
from superbatch.files import read_json
from superbatch.tracking.feed import Task
from superbatch.tracking.sent import FOLDER, read_sent, write_sent
from superbatch.tracking.tracker import RunInfo, Sent, Tracker
from superbatch.tracking.tracking import Tracking

REPORT = RunInfo("report")  # no training: the figures show all runs beside each other


@dataclass(frozen=True)
class Found:
    """Something to send, beside what was sent of its run before.

    Attributes:
        run: the run. directory: where its notes lie (`sent`). kind: of the thing, for the note.
        numbers, figures: what is sent, by name.
    """

    run: RunInfo
    directory: Path
    kind: str
    numbers: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Path] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """Return what changes with its content."""
        return fingerprint([self.numbers, {name: file_sha256(file) for name, file in self.figures.items()}])


def send_found(tracking: Tracking, runs: Iterable[Path], states: Path, figures: Mapping[str, Path]) -> None:
    """Send the results of runs that the trackers know, and the report's figures, unless they have them.

    Args:
        tracking: the trackers.
        runs: folders of runs, with `training` and `evaluation` in them.
        states: the folder of all runs' states. figures: PNG files by name.
    """
    found = [one for run in runs if (one := results_of(run, states)) is not None]
    there = {name: file for name, file in figures.items() if file.is_file()}
    if there:
        found.append(Found(REPORT, tracking.folder / REPORT.name, "figures", figures=there))
    tasks = {}
    for name in tracking.settings.wanted:
        new = [(one, sent) for one in found if (sent := _to_send(one, name)) is not None]
        attempts = [(one, sent, tracking.attempt(name, partial(tracking.make, name))) for one, sent in new]
        made = [(one, sent, tracker) for one, sent, tracker in attempts if tracker is not None]
        if made:
            tasks[name] = Task(f"{name}-results", _sender(name, made), partial(tracking.switch_off, name))
            tasks[name].start()
    tracking.wait_for(tasks, "results")


def results_of(run: Path, states: Path) -> Found | None:
    """Return the results of a finished run's evaluation, named `<split>/<set>/<metric>`; None where there are none."""
    file = run / "training" / "run.json"
    told = read_json(file) if file.is_file() else {}
    directory = states / str(told.get("run_hash"))
    if not (directory / FOLDER).is_dir():  # not known to any tracker
        return None
    results = [read_json(path) for path in sorted((run / "evaluation").glob("*.json"))]
    numbers = {
        f"{one['split']}/{one['set']}/{name}": float(value)
        for one in results
        for name, value in one["metrics"].items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
    return Found(RunInfo(told["run"], told["run_hash"]), directory, "results", numbers) if numbers else None


def _to_send(found: Found, tracker: str) -> Sent | None:
    """Return what a tracker was told of a run before; None where this is nothing new, or of a run that it doesn't know whole."""
    sent = read_sent(found.directory, tracker)
    known = sent.finished or found.run == REPORT
    return sent if known and sent.results.get(found.kind) != found.mark else None


def _sender(name: str, made: list[tuple[Found, Sent, Tracker]]) -> Callable[[], None]:
    """Return the work that sends what was found to a tracker, one after the other."""

    def work() -> None:
        for found, sent, tracker in made:
            started = tracker.start(found.run, sent)
            for title, file in found.figures.items():
                tracker.figure(title, file)
            if found.numbers:
                tracker.scalars(sent.steps, found.numbers)
            tracker.flush()
            tracker.finish({} if found.run == REPORT else None)
            results = {**sent.results, found.kind: found.mark}
            told = replace(sent, run_id=sent.run_id or started.run_id, finished=True, results=results)
            write_sent(found.directory, name, told)

    return work
