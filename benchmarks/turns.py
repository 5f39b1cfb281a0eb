"""Trainers that take turns step by step, so that a busy machine disturbs them alike.

A trainer is given `wrap`, which it puts around the batches it iterates over. What lies between two batches is its step; while
one takes a step, the others wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

WARM_UP = 3  # first steps that are not counted; nor is the last, which ends the run


@dataclass
class Steps:
    """Seconds of a trainer's steps and of these waiting for data; processor seconds in its thread, of the steps and of reading data."""

    seconds: list[float] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    reading: list[float] = field(default_factory=list)

    def add(self, other: Steps) -> None:
        """Append another run's counted steps."""
        for name in ("seconds", "waiting", "processor", "reading"):
            getattr(self, name).extend(getattr(other, name)[WARM_UP:-1])


class Turns:
    """Whose step it is."""

    def __init__(self, count: int) -> None:
        self._condition, self._whose, self._here = threading.Condition(), 0, [True] * count
        self.start = threading.Barrier(count)

    def take(self, number: int) -> None:
        """Wait for one's turn."""
        with self._condition:
            self._condition.wait_for(lambda: self._whose == number)

    def pass_on(self, number: int, leave: bool = False) -> None:
        """Give the turn to the next one that is still there."""
        with self._condition:
            self._here[number] = not leave
            order = [(number + i) % len(self._here) for i in range(1, len(self._here) + 1)]
            self._whose = next((i for i in order if self._here[i]), number)
            self._condition.notify_all()


class Timed:
    """Batches that time what their consumer does with them; other attributes are those of the batches."""

    def __init__(self, batches: Iterable[Any], turns: Turns, number: int, steps: Steps) -> None:
        self._batches, self._turns, self._number, self._steps = batches, turns, number, steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batches, name)

    def __iter__(self) -> Iterator[Any]:
        self._turns.start.wait()
        self._turns.take(self._number)
        try:
            items, end = iter(self._batches), object()
            while True:
                start, processor = time.perf_counter(), time.thread_time()
                item = next(items, end)
                if item is end:
                    return
                self._steps.waiting.append(time.perf_counter() - start)
                self._steps.reading.append(time.thread_time() - processor)
                try:
                    yield item
                finally:  # also where nobody asks for the end
                    self._steps.seconds.append(time.perf_counter() - start)
                    self._steps.processor.append(time.thread_time() - processor)
                self._turns.pass_on(self._number)
                self._turns.take(self._number)
        finally:
            self._turns.pass_on(self._number, leave=True)


Wrap = Callable[[Iterable[Any]], Timed]
Trainer = Callable[[Wrap], object]


def in_turns(trainers: dict[str, Trainer], repeats: int, step_by_step: bool) -> dict[str, Steps]:
    """Run each trainer `repeats` times and return its counted steps.

    Args:
        trainers: by name.
        repeats: whole runs of each.
        step_by_step: steps in turns, each trainer in a thread of its own; else whole runs in turns, which trainers with
            worker processes need (those would read ahead while the others take their steps).
    """
    found = {name: Steps() for name in trainers}
    for turn in range(repeats):
        names = list(trainers)[turn % len(trainers) :] + list(trainers)[: turn % len(trainers)]
        for together in [names] if step_by_step else [[name] for name in names]:
            for name, steps in _run({name: trainers[name] for name in together}).items():
                found[name].add(steps)
    return found


def _run(trainers: dict[str, Trainer]) -> dict[str, Steps]:
    turns, steps = Turns(len(trainers)), {name: Steps() for name in trainers}

    def call(number: int, name: str) -> None:
        try:
            trainers[name](lambda batches: Timed(batches, turns, number, steps[name]))
        except BaseException:
            turns.start.abort()  # who waits for the start, or for a turn, is let go
            turns.pass_on(number, leave=True)
            raise

    with ThreadPoolExecutor(len(trainers)) as pool:
        for done in [pool.submit(call, number, name) for number, name in enumerate(trainers)]:
            done.result()
    return steps
