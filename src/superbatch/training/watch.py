"""Watch a run: time, memory, and bad steps."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch

from superbatch.options import TrainingSettings

SPENT = (
    "data",
    "score",
    "select",
    "train",
    "checkpoint",
)  # what a step's time is spent on, besides other models than the learner
MOST_SKIPPED = 10  # bad steps in a row after which skipping no longer helps
SMOOTHING = 0.95  # of the live line's share of waiting; a mean over some twenty steps
TIMED = 20  # steps that tell a run's rate, or a twentieth of them in a short run, but not under FEWEST
FEWEST = 5
WORTH_A_LINE = 10.0  # seconds; a shorter run needs no better estimate


class Clock:
    """Splits a step's time by what it is spent on; waits for the device where there is one to wait for.

    Args:
        device: of the models.
        beside: models that are trained beside the learner: their time is told apart.
    """

    def __init__(self, device: torch.device, beside: Iterable[str] = ()) -> None:
        self.device, self.names = device, (*SPENT, *beside)
        self.seconds = dict.fromkeys(self.names, 0.0)
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Book the time since the last lap: under `train` for the learner, else under the name."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        now, name = time.perf_counter(), "train" if name == "learner" else name
        self.seconds[name] += now - self._last
        self._last = now

    def skip(self) -> None:
        """Book the time since the last lap nowhere: what is nobody's part of a step."""
        self._last = time.perf_counter()

    def row(self) -> dict[str, float]:
        """Return the seconds since the last row by ledger column; `checkpoint` is the one before the step, if there was one."""
        seconds = {f"seconds_{name}": self.seconds[name] for name in self.names}
        self.seconds = dict.fromkeys(self.names, 0.0)
        return seconds


def memory(device: torch.device) -> dict[str, float | None]:
    """Return the process's peak memory so far in MB, resident and on the device (None on a CPU), by ledger column."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    on_device = torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else None
    return {"memory_mb": peak / 1e6, "device_memory_mb": on_device}


@dataclass
class LiveLine:
    """What the progress bar shows besides count, rate and time left."""

    waited: float = 0.0
    whole: float = 0.0

    def text(self, row: dict[str, float]) -> str:
        """Take a ledger row in; return the loss and the share of the last steps' time in which the device waited for data."""
        self.waited = SMOOTHING * self.waited + row["seconds_data"]
        self.whole = SMOOTHING * self.whole + _spent(row)
        return f"loss {row['loss']:.4g}, {self.waited / max(self.whole, 1e-9):.0%} waiting for data"


@dataclass
class Pace:
    """Measures the rate of the first steps that are made, to correct the plan's estimate where that was off.

    Attributes:
        planned: seconds of the whole run, as the plan has them.
        steps: of the whole run.
        share: returns the share of the whole run's work that some steps are.
        made: steps so far; `seconds`: of all but the first, which warms up.
    """

    planned: float
    steps: int
    share: Callable[[range], float]
    made: int = 0
    seconds: float = 0.0

    def note(self, row: Mapping[str, float], done: int) -> str | None:
        """Take a ledger row in; return a sentence once, if the time left differs from the plan by more than a third.

        Args:
            row: of the step that was made last. done: steps of the run until then, with those of before a resume.
        """
        self.seconds += _spent(row) if self.made else 0.0
        self.made += 1
        if self.made != min(TIMED, max(FEWEST, self.steps // 20)):
            return None
        left = self.share(range(done, self.steps))
        planned, measured = left * self.planned, left * self.seconds / self.share(range(done - self.made + 1, done))
        if max(planned, measured) < WORTH_A_LINE or abs(measured - planned) <= planned / 3:
            return None
        return f"{self.steps - done:,} steps left take about {measured:,.0f} s at the measured rate, not {planned:,.0f} s; evaluations come on top"


def _spent(row: Mapping[str, float]) -> float:
    """Sum up the seconds of a ledger row."""
    return sum(value for name, value in row.items() if name.startswith("seconds_"))


@dataclass
class BadSteps:
    """Tells a bad step: a loss or gradient that is not finite, or a loss far above the running median.

    What it remembers follows from the ledger, so that a resumed run judges as the run that was never killed.

    Attributes:
        factor: a spike is a loss above factor x median; 0 looks for none.
        losses: of the last good steps; none is a spike before the window is full.
        in_a_row: bad steps since the last good one.
        whose: how it calls the model that it watches.
    """

    factor: float = 0.0
    losses: deque[float] = field(default_factory=deque)
    in_a_row: int = 0
    whose: str = "the"

    @classmethod
    def after(cls, ledger: pa.Table, settings: TrainingSettings, column: str = "loss", whose: str = "the") -> BadSteps:
        """Continue behind a ledger (an empty one at the start), by the losses in one of its columns."""
        watch = cls(settings.spike_factor, deque(maxlen=settings.spike_window), whose=whose)
        for loss, skipped in zip(ledger[column].to_pylist(), ledger["skipped"].to_pylist(), strict=True):
            watch.note(loss, bool(skipped))
        return watch

    def note(self, loss: float, bad: bool) -> None:
        """Remember a step."""
        self.in_a_row = self.in_a_row + 1 if bad else 0
        if not bad:
            self.losses.append(loss)

    def verdict(self, loss: float, gradient_norm: float) -> str | None:
        """Say what is bad about a step before its update; None if nothing is."""
        if not np.isfinite(loss):
            return f"{self.whose} loss is {loss}"
        if not np.isfinite(gradient_norm):
            return f"{self.whose} gradient norm is {gradient_norm} (loss {loss:.4g})"
        if self.factor and len(self.losses) == self.losses.maxlen:
            usual = statistics.median(self.losses)
            if loss > self.factor * usual:
                return f"{self.whose} loss is {loss:.4g}, more than {self.factor:g} times the median of {usual:.4g}"
        return None
