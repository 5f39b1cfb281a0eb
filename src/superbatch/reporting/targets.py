"""Steps (FLOPs, seconds) to target, by complete schedules.

The target is the baseline's mean final accuracy over seeds after T steps of a complete schedule of its own (`horizon`).
A method's cost is its own shortest complete schedule whose mean ends at or above the target; nothing is interpolated, nor
read off the middle of a longer run.

Its interval inverts a test: of each schedule, whether it reaches the target. The shortest schedule of which that is not
rejected gives the upper bound of the ratio, the shortest that surely reaches it (its difference's interval lies at or above
zero) the lower bound. Of several configurations of a method at one length `tuning` has left one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from superbatch.reporting.accounts import ACCOUNTINGS
from superbatch.reporting.horizon import Horizon
from superbatch.reporting.intervals import Difference, basis, difference
from superbatch.reporting.names import label_of
from superbatch.reporting.numbers import percent

COSTS = ("steps", *ACCOUNTINGS, "seconds")
EXACT = 1e-12  # values that differ by less are equal


@dataclass(frozen=True)
class ToTarget:
    """What one method needs to reach the baseline's target.

    Attributes:
        ratios: the baseline's cost over the method's (larger is better; empty where not reached), by steps, the three FLOPs
            accountings and seconds.
        low, high: 95 % bounds of the ratio of steps; 0 where no schedule surely reaches the target, or none may.
        open: whether even the shortest schedule may reach it, so that the ratio may lie above `high`.
        n: seeds that the bounds rest on; over: "seeds", "images" or "" (`intervals.Difference`).
        shortest: the method's shortest schedule: where that one already reaches the target, less may do.
    """

    label: str
    method: str
    f: float
    horizon: Horizon
    steps: int | None
    best_value: float
    best_steps: int
    n: int
    over: str
    shortest: int = 0
    ratios: dict[str, float] = field(default_factory=dict)
    low: float = 0.0
    high: float = 0.0
    open: bool = False

    @property
    def ratio(self) -> float:
        """The ratio of steps; 0 where the target was not reached."""
        return self.ratios.get("steps", 0.0)

    @property
    def at_least(self) -> str:
        """A sign before ratios that may be larger still, because no shorter schedule was run."""
        return "≥ " if self.steps is not None and self.steps == self.shortest else ""

    def sentence(self) -> str:
        """The outcome in words, with its interval."""
        goal = f"{self.horizon.label}'s {percent(self.horizon.target)} % after {self.horizon.steps:,} steps"
        if self.steps is None:
            verb = "does not reach" if self.high == 0 else "is not shown to reach"
            best = f"{percent(self.best_value)} % after {self.best_steps:,} steps"
            return f"{self.label} {verb} {goal}: its best is {best}{self._interval()}."
        times = f"{self.ratio:.3g} times fewer" if self.ratio >= 1 else f"{1 / self.ratio:.3g} times more"
        how = "in the same number of steps" if self.ratio == 1 else f"in {self.steps:,} steps, {times}"
        verb = "reaches" if self.low > 0 else "reaches on average, but not certainly,"
        more = "fewer may be enough" if self.ratio > 1 else "no speed-up can be stated"
        alone = f"; no shorter run was tried, so {more}" if self.at_least else ""
        return f"{self.label} {verb} {goal} {how}{self._interval()}{alone}."

    def bounds(self) -> str:
        """The interval of the ratio: `8 to 13`, `26 to 40 or more`, `not reached to 6`."""
        low, high = ("not reached" if bound == 0 else f"{bound:.3g}" for bound in (self.low, self.high))
        more = " or more" if self.open else ""
        return low + more if low == high else f"{low} to {high}{more}"

    def _interval(self) -> str:
        known = basis(self.n, self.over)
        return f" (95 %: {self.bounds()}; {known})" if self.over else f" ({known})"


def to_target(method: pd.DataFrame, baseline: pd.DataFrame, horizon: Horizon) -> ToTarget:
    """Cost of one method to reach the target that `horizon` took from `baseline`.

    Args:
        method, baseline: tuned runs of one method each (`tuned`), at least one row.
    """
    first = method.iloc[0]
    means = method.groupby("steps")["value"].mean()
    enough = means.index[means.to_numpy() >= horizon.target - EXACT]
    steps = int(enough[0]) if len(enough) else None
    at_target = baseline[baseline["steps"] == horizon.steps]
    held = {int(length): difference(cell, at_target) for length, cell in method.groupby("steps")}
    low, high = _ratio_bounds(held, horizon.steps, steps)
    decisive = held[steps if steps is not None else int(means.idxmax())]
    return ToTarget(
        label=label_of(first["method"], first["f"]),
        method=str(first["method"]),
        f=float(first["f"]),
        horizon=horizon,
        steps=steps,
        shortest=int(means.index[0]),
        best_value=float(means.max()),
        best_steps=int(means.idxmax()),
        n=decisive.n,
        over=decisive.over,
        ratios={} if steps is None else _ratios(at_target, method[method["steps"] == steps]),
        low=low,
        high=high,
        open=high > 0 and high == horizon.steps / int(means.index[0]),
    )


def reaching(lengths: Sequence[int], held: Sequence[Difference]) -> tuple[int | None, int | None]:
    """The shortest schedule that surely reaches the target, and the shortest of which that is not rejected; None for none.

    Args:
        lengths: ascending. held: each schedule's difference to the target; one without an interval is taken as it is.
    """
    pairs = list(zip(lengths, held, strict=True))
    surely = (length for length, d in pairs if (d.low if d.over else d.value) >= -EXACT)
    perhaps = (length for length, d in pairs if (d.high if d.over else d.value) >= -EXACT)
    return next(surely, None), next(perhaps, None)


def _ratio_bounds(held: dict[int, Difference], target_steps: int, reached: int | None) -> tuple[float, float]:
    """Bounds of the ratio of steps, widened to include the ratio itself."""
    surely, perhaps = reaching(list(held), list(held.values()))
    low = 0.0 if surely is None else target_steps / surely
    high = 0.0 if perhaps is None else target_steps / perhaps
    ratio = 0.0 if reached is None else target_steps / reached
    return min(low, ratio), max(high, ratio)


def _ratios(baseline: pd.DataFrame, method: pd.DataFrame) -> dict[str, float]:
    return {cost: float(baseline[cost].mean() / method[cost].mean()) for cost in COSTS}
