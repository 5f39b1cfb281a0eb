"""A function over units of work. A unit whose worker dies is done again, until it is the unit itself that kills workers."""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from superbatch.errors import UserError
from superbatch.jobs.backends import Backend, Needs, opened
from superbatch.options.jobs import JobsSettings
from superbatch.progress import progress

log = logging.getLogger(__name__)
Unit = TypeVar("Unit")
Result = TypeVar("Result")
TRIES = 3  # how often a unit's worker may die while it has nothing else to do


@dataclass(frozen=True)
class Told:
    """How messages name units of work.

    Attributes:
        description, unit: of the progress bar.
        known: units that were done earlier; the bar starts there.
    """

    description: str
    unit: str
    known: int = 0


def run_units(
    call: Callable[[Unit], Result],
    units: Sequence[Unit],
    jobs: JobsSettings,
    told: Told,
    *,
    name: Callable[[Unit], str] = str,
    needs: Needs | None = None,
) -> Iterator[tuple[int, Result]]:
    """Call a function with each unit and yield (number of the unit, result) as they come, in any order.

    Args:
        call: a function that can be pickled. It works in this process's folder, also on other machines.
        units: what it is called with; they can be pickled too.
        jobs: by which back end.
        told: words for the progress bar and messages.
        name: names a unit in messages.
        needs: what a worker needs.

    Raises:
        UserError: a unit whose workers died again and again, named; what `call` raises; no cluster.
    """
    if not units:
        return
    with opened(jobs, needs or Needs()) as backend, _bar(told, len(units)) as bar:
        left, deaths, suspected = list(range(len(units))), 0, Counter[int]()
        while left:
            turn = _Turn(call, units, left[:1] if deaths else left, again=bool(suspected))
            for found in turn.results(backend):
                bar.update()
                yield found
            deaths = deaths + 1 if turn.died and not turn.done else 0
            if deaths > TRIES:
                raise _given_up(name(units[left[0]]))
            if turn.died:
                log.warning("%s: a worker died; its unfinished work is done again", told.description)
                suspected.update(turn.unfinished())
            left = sorted(set(left) - turn.done, key=lambda number: (suspected[number], number))


def _bar(told: Told, count: int) -> Any:
    return progress(total=told.known + count, initial=told.known, description=told.description, unit=told.unit)


def _given_up(name: str) -> UserError:
    what = f"the process that worked on it died {TRIES} times, most likely because memory ran out"
    return UserError(name, what, "use fewer (jobs.workers), and give the same command again")


@dataclass
class _Turn(Generic[Unit, Result]):
    """Some units given to the workers, until all are done or a worker dies.

    Attributes:
        numbers: of the units. again: one of them may have killed a worker.
        sent: those that were handed out; done: those that came back. died: whether a worker did.
    """

    call: Callable[[Unit], Result]
    units: Sequence[Unit]
    numbers: list[int]
    again: bool = False
    sent: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)
    died: bool = False

    def results(self, backend: Backend) -> Iterator[tuple[int, Result]]:
        """Yield what comes back; the death of a worker ends it."""
        try:
            for number, result in self._stream(backend) if backend.stream else self._parallel(backend):
                self.done.add(number)
                yield number, result
        except backend.died as error:
            self.died, killer = True, backend.killer(error)
            self.sent = self.sent if killer is None else self.done | {killer}

    def _stream(self, backend: Backend) -> Iterator[tuple[int, Result]]:
        assert backend.stream is not None
        self.sent, folder, call = set(self.numbers), Path.cwd(), Sealed.of(self.call)
        given = {number: (call, number, self.units[number], folder) for number in self.numbers}
        yield from backend.stream(_numbered, given)

    def _parallel(self, backend: Backend) -> Iterator[tuple[int, Result]]:
        from joblib import Parallel, parallel_config

        with parallel_config(backend.name, **backend.arguments):
            yield from Parallel(self._workers(backend), return_as="generator_unordered", batch_size=1)(self._calls())

    def unfinished(self) -> set[int]:
        """Numbers of the units that were handed out and did not come back: one of them may have killed its worker."""
        return self.sent - self.done

    def _workers(self, backend: Backend) -> int:
        """With one worker, joblib runs units in this process, which a unit must not kill. If one might, two workers are used."""
        return min(backend.workers, max(2 if self.again else 1, len(self.numbers)))

    def _calls(self) -> Iterator[Any]:
        from joblib import delayed

        folder = Path.cwd()
        for number in self.numbers:
            self.sent.add(number)
            yield delayed(_numbered)(self.call, number, self.units[number], folder)


@dataclass(frozen=True)
class Sealed:
    """A function on its way to another machine, as bytes: what it has open there may be named relative to the project's folder.

    So it must not be unpickled before a worker stands in that folder.
    """

    content: bytes

    @classmethod
    def of(cls, call: Callable[[Any], Any]) -> Sealed:
        """Pickle a function; one within another goes whole."""
        import cloudpickle

        return cls(cloudpickle.dumps(call))

    def __call__(self, unit: Any) -> Any:
        """Call the function."""
        return _unsealed(self.content)(unit)


@lru_cache(maxsize=1)  # a worker does many units with one function
def _unsealed(content: bytes) -> Callable[[Any], Any]:
    found: Callable[[Any], Any] = pickle.loads(content)
    return found


def _numbered(call: Callable[[Unit], Result], number: int, unit: Unit, folder: Path) -> tuple[int, Result]:
    """Run a unit in a worker, in the folder where the command was started: a project's paths are relative to it."""
    try:
        if Path.cwd() != folder:
            os.chdir(folder)
    except OSError:
        what = f"is not there on {socket.gethostname()}"
        raise UserError(str(folder), what, "all machines of the cluster must see the project's folder") from None
    return number, call(unit)
