"""Shards of an object store, fetched before the steps that read them: the order is known, so is what comes next.

A thread of the trainer goes ahead of the steps as far as the shards that they read fit into the cache together, and brings them in. With a
shuffle window these are few; where the rows of one step alone lie in more shards than the cache holds, nothing is fetched, and images are read
by ranges of bytes. What is fetched changes nothing but the time that reading takes. Where another order takes over (`Order.after`), the steps that
were in sight by the old one are read by ranges too, as far as their shards are not there.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from superbatch.errors import UserError
from superbatch.stores.address import Known
from superbatch.stores.cache import ShardCache, cache_in_use
from superbatch.training.live import LiveRun

log = logging.getLogger(__name__)
LONGEST_END = 5.0  # seconds that the end of a run waits for the thread, which may be waiting for a store
ObjectsAt = Callable[[int], list[Known]]


class Horizon:
    """The objects that the steps from now on read, as far as they fit together.

    Args:
        objects_at: of a step. total: how many objects there are. steps: of the run. room: bytes.
    """

    def __init__(self, objects_at: ObjectsAt, total: int, steps: range, room: int) -> None:
        self._objects_at, self._total, self._room = objects_at, total, room
        self._next, self._stop = steps.start, steps.stop
        self._steps: deque[tuple[int, list[Known]]] = deque()
        self._uses: Counter[Known] = Counter()
        self._waiting: list[Known] | None = None  # of the next step, once it is known

    @property
    def objects(self) -> list[Known]:
        """Those in sight."""
        return list(self._uses)

    def advance(self, step: int) -> None:
        """Let go of the steps before this one."""
        while self._steps and self._steps[0][0] < step:
            self._uses.subtract(self._steps.popleft()[1])
        self._uses = +self._uses
        if self._next < step:
            self._next, self._waiting = step, None

    def further(self) -> list[Known] | None:
        """Look one step further; returns what it adds. None where that does not fit, and where nothing is left to look for."""
        if self._next >= self._stop or len(self._uses) == self._total:
            return None
        if self._waiting is None:
            self._waiting = self._objects_at(self._next)
        new = [one for one in self._waiting if one not in self._uses]
        if sum(one.size for one in (*self._uses, *new)) > self._room:
            return None
        self._steps.append((self._next, self._waiting))
        self._uses.update(self._waiting)
        self._next, self._waiting = self._next + 1, None
        return new

    @property
    def is_blocked(self) -> bool:
        """Whether what one step reads does not fit."""
        return not self._steps and self._waiting is not None


class ReadAhead:
    """A thread that fetches what the coming steps read.

    Args:
        cache: where to. horizon: what comes. name: of the run, for the log.
    """

    def __init__(self, cache: ShardCache, horizon: Horizon, name: str) -> None:
        self._cache, self._horizon, self._name = cache, horizon, name
        self._step, self._stopped, self._changed = -1, False, threading.Condition()
        self._thread = threading.Thread(target=self._run, name="read ahead", daemon=True)

    def at(self, step: int) -> None:
        """Say which step is under way; the first time, begin: by then the processes that read samples have been forked."""
        with self._changed:
            begin, self._step = self._step < 0, step
            self._changed.notify()
        if begin:
            self._thread.start()

    def stop(self) -> None:
        """End; what is half fetched is dropped."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(LONGEST_END)

    def _run(self) -> None:
        try:
            while not self._stopped:
                step = self._step
                self._horizon.advance(step)
                new = self._horizon.further()
                if new is None:
                    self._wait_behind(step)
                for known in new or ():
                    self._cache.touch(self._horizon.objects)  # keep what is needed soon, even if it was not read yet
                    self._cache.fetch(known, lambda: not self._stopped)
        except UserError as error:  # a step that needs it reports the error; until then it is read by ranges
            log.warning("%s: no shards are fetched ahead from here on: %s", self._name, error)

    def _wait_behind(self, step: int) -> None:
        """Wait until the run has come further than a step, or ends."""
        if self._horizon.is_blocked:
            self._warn()
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._step != step)

    def _warn(self) -> None:
        self._stopped = True
        log.warning(
            "%s: the rows of one step lie in more shards than storage.cache holds (%.1f GB), so each image is a request of its own; "
            "set training.shuffle_window, or enlarge storage.cache.gigabytes (docs/scale.md)",
            self._name,
            self._cache.limit / 1e9,
        )


@contextmanager
def reading_ahead(run: LiveRun, first: int) -> Iterator[Callable[[int], None]]:
    """Fetch ahead while a run trains; yields what is to be told each step that is under way. Does nothing where no shard lies in a store."""
    cache, source = cache_in_use(), run.job.source
    objects = [] if cache is None else source.objects()
    if cache is None or not objects:
        yield lambda step: None
        return
    steps = range(first, run.job.training.steps)
    horizon = Horizon(lambda step: source.objects(run.order.rows(step)), len(objects), steps, cache.limit)
    ahead = ReadAhead(cache, horizon, run.job.name)
    try:
        yield ahead.at
    finally:
        ahead.stop()
