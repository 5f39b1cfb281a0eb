"""Steps (FLOPs, seconds) to target, by complete schedules.

The target is the baseline's mean final accuracy over seeds after T steps of a complete schedule of its own, T being
the shortest schedule within one point of the one twice as long. A method's cost is its own shortest complete schedule
whose mean ends at or above the target; nothing is interpolated, nor read off the middle of a longer run.

Of several configurations of a method at one length `tuning` has left one. Intervals are those of `bootstrap`; a
resample in which nothing reaches the target counts as a ratio of 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from superbatch.errors import UserError
from superbatch.reporting.accounts import ACCOUNTINGS
from superbatch.reporting.bootstrap import steps_ratios
from superbatch.reporting.names import label_of

POINT = 0.01
COSTS = ("steps", *ACCOUNTINGS, "seconds")


@dataclass(frozen=True)
class Horizon:
    """Which schedule of the baseline sets the target, and whether it had settled."""

    label: str
    steps: int
    target: float
    settled: bool
    note: str


@dataclass(frozen=True)
class ToTarget:
    """What one method needs to reach the baseline's target.

    `ratios` are the baseline's cost over the method's (larger is better; empty where not reached), by steps, the three
    FLOPs accountings and seconds; `low` and `high` bound the ratio of steps at 95 %; `reached` is the share of
    resamples that reach the target at all. `shortest` is the method's shortest schedule: where that one already
    reaches the target, less may do.
    """

    label: str
    method: str
    f: float
    horizon: Horizon
    steps: int | None
    best_value: float
    best_steps: int
    seeds: int
    shortest: int = 0
    ratios: dict[str, float] = field(default_factory=dict)
    low: float = 0.0
    high: float = 0.0
    reached: float = 0.0

    @property
    def ratio(self) -> float:
        """The ratio of steps; 0 where the target was not reached."""
        return self.ratios.get("steps", 0.0)

    @property
    def at_least(self) -> str:
        """A sign before ratios that may be larger still, because no shorter schedule was run."""
        return "≥ " if self.steps is not None and self.steps == self.shortest else ""

    def sentence(self) -> str:
        """The outcome in words."""
        goal = f"{self.horizon.label}'s {100 * self.horizon.target:.1f} % after {self.horizon.steps:,} steps"
        if self.steps is None:
            best = f"{100 * self.best_value:.1f} % after {self.best_steps:,} steps"
            return f"{self.label} does not reach {goal}: its best is {best}."
        times = f"{self.ratio:.3g} times fewer" if self.ratio >= 1 else f"{1 / self.ratio:.3g} times more"
        how = "in as many steps" if self.ratio == 1 else f"in {self.steps:,} steps: {times}{self.interval()}"
        return f"{self.label} reaches {goal} {how}{'; no shorter schedule of it was run' if self.at_least else ''}."

    def interval(self) -> str:
        """The bootstrap interval in brackets; empty with a single seed."""
        if self.seeds < 2:
            return " (one seed: no interval)"
        low = "not reached" if self.low == 0 else f"{self.low:.3g}"
        return f" (95 %: {low} to {self.high:.3g})"


def horizon_of(baseline: pd.DataFrame, label: str, steps: int | None = None) -> Horizon:
    """Find T, the baseline's shortest schedule within one point of one twice as long, and the target it sets.

    Args:
        baseline: tuned runs of one method. steps: a T that is imposed instead.

    Raises:
        UserError: no run at all, or none of the imposed length.
    """
    means = baseline.groupby("steps")["value"].mean()
    if means.empty:
        raise UserError("report.target", f"no complete schedule of {label} was found", "train one first")
    if steps is not None and steps not in means.index:
        raise UserError(
            "report.target_steps", f"{label} has no schedule of {steps} steps", f"it has {list(means.index)}"
        )
    settled = [t for t in means.index if 2 * t in means.index and means[2 * t] - means[t] <= POINT + 1e-12]
    chosen = int(steps if steps is not None else settled[0] if settled else means.index.max())
    return Horizon(label, chosen, float(means[chosen]), chosen in settled, _horizon_note(means, chosen, settled, label))


def _horizon_note(means: pd.Series, chosen: int, settled: list[int], label: str) -> str:
    if chosen in settled:
        return f"{label} gains {100 * (means[2 * chosen] - means[chosen]):+.1f} points from T = {chosen:,} to 2T steps."
    if 2 * chosen in means.index:
        gain = 100 * (means[2 * chosen] - means[chosen])
        return f"{label} still gains {gain:.1f} points from {chosen:,} to {2 * chosen:,} steps: T is too short."
    return (
        f"There is no schedule of {2 * chosen:,} steps of {label}: whether T = {chosen:,} is long enough is not shown."
    )


def to_target(
    method: pd.DataFrame, baseline: pd.DataFrame, horizon: Horizon, *, resamples: int = 2_000, seed: int = 0
) -> ToTarget:
    """Cost of one method to reach the target that `horizon` took from `baseline`.

    Args:
        method, baseline: tuned runs of one method each (`tuned`), at least one row.
        resamples, seed: of the bootstrap over seeds.
    """
    first = method.iloc[0]
    means = method.groupby("steps")["value"].mean()
    enough = means.index[means.to_numpy() >= horizon.target - 1e-12]
    steps = int(enough[0]) if len(enough) else None
    at_target = baseline[baseline["steps"] == horizon.steps]
    drawn = steps_ratios(method, at_target["value"].to_numpy(float), horizon.steps, resamples, seed)
    low, high = np.quantile(drawn, [0.025, 0.975], method="nearest")
    return ToTarget(
        label=label_of(first["method"], first["f"]),
        method=str(first["method"]),
        f=float(first["f"]),
        horizon=horizon,
        steps=steps,
        shortest=int(means.index[0]),
        best_value=float(means.max()),
        best_steps=int(means.idxmax()),
        seeds=int(method.groupby("steps")["seed"].nunique().min()),
        ratios={} if steps is None else _ratios(at_target, method[method["steps"] == steps]),
        low=float(low),
        high=float(high),
        reached=float(np.mean(drawn > 0)),
    )


def _ratios(baseline: pd.DataFrame, method: pd.DataFrame) -> dict[str, float]:
    return {cost: float(baseline[cost].mean() / method[cost].mean()) for cost in COSTS}
