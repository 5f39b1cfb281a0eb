"""All trackers that the settings ask for, as a follower of trainings (`training.following`)."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from superbatch.artifacts.fingerprints import canonical
from superbatch.files import read_json
from superbatch.nested import dotted
from superbatch.options import TrackingSettings
from superbatch.tracking.feed import Feed, Task
from superbatch.tracking.packages import make_tracker
from superbatch.tracking.points import Whole
from superbatch.tracking.sent import read_sent
from superbatch.tracking.tracker import RunInfo, Tracker
from superbatch.training.following import Finished
from superbatch.training.job import Job
from superbatch.training.state import RECORDS

T = TypeVar("T")
log = logging.getLogger(__name__)
TOLD = ("run_hash", "commit", "machine", "seconds", "flops", "digests", "final", "skipped_steps")  # of run.json
LATER = "the next command for this run sends the rest"


class Tracking:
    """Follows trainings, and tells the trackers of them; one that fails, or hangs, is left alone from then on.

    Args:
        settings: which, and how.
        make: makes a tracker by its name, in the folder of all.
    """

    def __init__(self, settings: TrackingSettings, make: Callable[[str, Path], Tracker] = make_tracker) -> None:
        self.settings, self._make = settings, make
        self.folder = Path(settings.folder or "tracking")
        self._off: set[str] = set()

    @contextmanager
    def __call__(self, job: Job) -> Iterator[Finished]:
        """Follow a training while it lasts. Trainings on several machines are told of at their end: rank 0 may be on another one."""
        made = (self.attempt(name, functools.partial(self._feed, name, job)) for name in self.settings.wanted)
        feeds = [feed for feed in made if feed is not None]
        alone = job.training.machines == 1
        for feed in feeds if alone else []:
            feed.task.start()

        def finished(training: Path) -> None:
            for feed in feeds:
                self.attempt(feed.name, functools.partial(self._finish, feed, training))
                if not alone:
                    feed.task.start()

        try:
            yield finished
        finally:
            for feed in feeds:
                feed.ended.set()
            self.wait_for({feed.name: feed.task for feed in feeds}, job.name)

    def _feed(self, name: str, job: Job) -> Feed | None:
        """Return what tells a tracker of a job; None where it knows all."""
        if read_sent(job.state_dir, name).finished and not job.training.fresh:
            return None
        run = RunInfo(job.name, job.run_hash, dict(dotted(canonical(job.full_identity))))
        places = job.state_dir, job.state_dir / RECORDS
        return Feed(name, self.make(name), run, *places, self.settings.every, functools.partial(self.switch_off, name))

    def _finish(self, feed: Feed, training: Path) -> None:
        feed.finish(Whole(training, self.settings.every), summary_of(training))

    def make(self, name: str) -> Tracker:
        """Make a tracker. Its package is imported here, in the main thread: workers fork, and must not do so amid an import."""
        return self._make(name, self.folder)

    def attempt(self, name: str, work: Callable[[], T]) -> T | None:
        """Return what some work for a tracker gives; None where the tracker is off, or is switched off since the work failed."""
        if name in self._off:
            return None
        try:
            return work()
        except Exception as error:
            self.switch_off(name, error)
            return None

    def wait_for(self, tasks: dict[str, Task], run: str) -> None:
        """Wait for some trackers' tasks, a limited time in all, and switch off those that are behind."""
        until = time.monotonic() + self.settings.wait
        for name, task in tasks.items():
            if task.ident is not None:
                task.join(max(until - time.monotonic(), 0))
            if task.is_alive():
                self._off.add(name)
                log.warning("%s: %s is behind, and the command no longer waits for it; %s", run, name, LATER)

    def switch_off(self, name: str, error: Exception) -> None:
        """Leave a tracker alone from now on, and say why; once."""
        if name in self._off:
            return
        self._off.add(name)
        said = " ".join(f"{type(error).__name__}: {error}".split())
        log.warning("%s failed (%s) and is off until the next command; %s", name, said[:300], LATER)


@functools.cache  # so that a tracker which failed stays off for the command
def tracking_of(settings: TrackingSettings) -> Tracking:
    """Return the one follower of some settings in this process."""
    return Tracking(settings)


def summary_of(training: Path) -> dict[str, Any]:
    """Return what a finished run came to, by dotted name, from its run.json."""
    told = read_json(training / "run.json")
    return dict(dotted({name: told[name] for name in TOLD if told.get(name) not in (None, {})}))
