"""Steps (FLOPs, seconds) to target, by complete schedules.

The target is the baseline's mean final accuracy over seeds after T steps of a complete schedule of its own, T being
the shortest schedule within one point of the one twice as long. A method's cost is its own shortest complete schedule
whose mean ends at or above the target; nothing is interpolated, nor read off the middle of a longer run.

Several configurations of a method at one length (a learning-rate grid, shares of a filter) are reduced to one by
`tuned`, on validation, before test values are looked at. Intervals: percentiles over bootstrap resamples of the seeds,
drawn independently for every (method, length); a resample in which nothing reaches the target counts as a ratio of 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from superbatch.errors import UserError
from superbatch.reporting.accounts import ACCOUNTINGS
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


def tuned(finals: pd.DataFrame) -> pd.DataFrame:
    """Keep one configuration a (method, f, length): the best by mean validation value among those with the most seeds.

    Args:
        finals: `runs_frame`'s columns; incomplete schedules and runs without a value are left out.
    """
    usable = finals[finals["complete"].astype(bool) & finals["value"].notna()]
    cells = usable.groupby(["method", "f", "steps"], sort=True)
    kept = [cell[cell["configuration"] == _best_configuration(cell)] for _, cell in cells]
    return pd.concat(kept, ignore_index=True) if kept else usable.copy()


def _best_configuration(cell: pd.DataFrame) -> str:
    judged = cell.assign(judge=cell["validation"].fillna(-np.inf))  # a run without validation can't be preferred
    summary = judged.groupby("configuration").agg(seeds=("seed", "nunique"), judge=("judge", "mean"))
    return str(summary.sort_values(["seeds", "judge"], ascending=False, kind="stable").index[0])


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
    drawn = _bootstrap(method, at_target["value"].to_numpy(float), horizon.steps, resamples, seed)
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


def _bootstrap(method: pd.DataFrame, target_values: np.ndarray, steps: int, resamples: int, seed: int) -> np.ndarray:
    """Ratio of steps in each resample: target and every cell drawn anew; 0 where nothing reaches the target."""
    rng = np.random.default_rng(seed)
    target = _resampled_means(target_values, resamples, rng)
    ratio = np.zeros(resamples)
    lengths = sorted(method["steps"].unique(), reverse=True)  # shorter schedules overwrite longer ones
    for length in lengths:
        means = _resampled_means(method.loc[method["steps"] == length, "value"].to_numpy(float), resamples, rng)
        ratio[means >= target - 1e-12] = steps / length
    return ratio


def _resampled_means(values: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    return values[rng.integers(len(values), size=(resamples, len(values)))].mean(axis=1)


def mean_interval(values: Iterable[float], *, resamples: int = 2_000, seed: int = 0) -> tuple[float, float, float]:
    """Mean and 95 % bootstrap interval over seeds; the interval is NaN with fewer than two values."""
    array = np.asarray([v for v in values if np.isfinite(v)], dtype=float)
    if len(array) == 0:
        return (np.nan, np.nan, np.nan)
    if len(array) == 1:
        return (float(array[0]), np.nan, np.nan)
    low, high = np.quantile(_resampled_means(array, resamples, np.random.default_rng(seed)), [0.025, 0.975])
    return (float(array.mean()), float(low), float(high))


def best_simple(frame: pd.DataFrame, up_to: int) -> str | None:
    """Name the simple alternative (filter, warm start, ...) with the best validation value within `up_to` steps."""
    simple = frame[(frame["role"] == "simple") & (frame["steps"] <= up_to)]
    if simple.empty:
        return None
    judged = simple.assign(judge=simple["validation"].fillna(simple["value"]))
    return str(judged.groupby(["method", "steps"])["judge"].mean().idxmax()[0])


@dataclass(frozen=True)
class Comparison:
    """Every method against uniform, and against the best simple alternative; either part may be missing."""

    uniform: list[ToTarget] = field(default_factory=list)
    simple: list[ToTarget] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def frame(self) -> pd.DataFrame:
        """One row a (baseline, method): target, steps, ratios, interval."""
        rows = [_target_row("uniform", t) for t in self.uniform] + [_target_row("best simple", t) for t in self.simple]
        return pd.DataFrame(rows)

    def figures(self) -> dict[str, float]:
        """The numbers under the names that `benchmarks/results.py` prints; 0 where a target is not reached.

        A method that was run at one filtering ratio goes by its name, one with several by `<method>-f<f>` for each.
        """
        found: dict[str, float] = {}
        for prefix, outcomes in (("steps_to_target", self.uniform), ("steps_to_target_best_simple", self.simple)):
            for outcome, key in _keys(outcomes):
                found[f"{prefix}.{key}"] = outcome.ratio
        for outcome, key in _keys(self.uniform):
            found[f"flops_to_target.{key}"] = outcome.ratios.get("flops_paper", 0.0)
            found[f"flops_to_target_charged.{key}"] = outcome.ratios.get("flops_charged", 0.0)
        return found


def compare(finals: pd.DataFrame, *, steps: int | None = None, resamples: int = 2_000, seed: int = 0) -> Comparison:
    """Compare all methods among the runs with uniform and with the best simple alternative.

    Args:
        finals: `runs_frame`. steps: an imposed T for uniform; by default the shortest settled one.
    """
    frame = tuned(finals)
    uniform = frame[frame["role"] == "uniform"]
    if uniform.empty:
        return Comparison(notes=["No complete uniform run was found: there is no target to reach."])
    horizon = horizon_of(uniform, str(uniform["method"].iloc[0]), steps)
    others = [group for _, group in frame[frame["role"].isin(["simple", "selecting"])].groupby(["method", "f"])]
    against_uniform = [to_target(group, uniform, horizon, resamples=resamples, seed=seed) for group in others]
    simple, note = _against_simple(frame, horizon.steps, others, resamples, seed)
    mixed = (
        "Some values are of the test split and some of the validation split: evaluate all runs alike."
        if frame["split"].nunique() > 1
        else ""
    )
    return Comparison(against_uniform, simple, [line for line in (horizon.note, note, mixed) if line])


def _against_simple(
    frame: pd.DataFrame, up_to: int, others: list[pd.DataFrame], resamples: int, seed: int
) -> tuple[list[ToTarget], str]:
    name = best_simple(frame, up_to)
    if name is None:
        return [], "No simple alternative (filtered, warm start, pool + curated) was run beside it."
    baseline = frame[(frame["method"] == name) & (frame["role"] == "simple")]
    horizon = horizon_of(baseline, name)
    rivals = [group for group in others if group["role"].iloc[0] == "selecting"]
    outcomes = [to_target(group, baseline, horizon, resamples=resamples, seed=seed) for group in rivals]
    return outcomes, f"The best simple alternative is {name} (by validation). {horizon.note}"


def _keys(outcomes: list[ToTarget]) -> list[tuple[ToTarget, str]]:
    names = [outcome.method for outcome in outcomes]
    return [(o, o.method if names.count(o.method) == 1 else f"{o.method}-f{o.f:g}") for o in outcomes]


def _target_row(against: str, outcome: ToTarget) -> dict[str, object]:
    return {
        "against": against,
        "baseline": outcome.horizon.label,
        "T": outcome.horizon.steps,
        "target": outcome.horizon.target,
        "settled": outcome.horizon.settled,
        "method": outcome.method,
        "f": outcome.f,
        "steps": outcome.steps,
        "steps ratio": outcome.ratio,
        "low": outcome.low,
        "high": outcome.high,
        "reached": outcome.reached,
        **{f"{cost} ratio": outcome.ratios.get(cost, 0.0) for cost in COSTS[1:]},
        "best value": outcome.best_value,
        "best steps": outcome.best_steps,
        "outcome": outcome.sentence(),
    }
