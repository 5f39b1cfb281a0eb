"""Compare every method with uniform, and with the best simple alternative, by what each needs to reach the target."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from superbatch.reporting.baseline import uniform_of
from superbatch.reporting.best import best_cell
from superbatch.reporting.chance import near_chance
from superbatch.reporting.horizon import Horizon, horizon_of
from superbatch.reporting.targets import COSTS, ToTarget, to_target
from superbatch.reporting.tuning import tuned


@dataclass(frozen=True)
class Remark:
    """A remark on what a comparison rests on, in one sentence.

    Attributes:
        about: the baseline that it is about, or the splits.
        good: whether nothing is left to do. check: a schedule, (method, steps), that would settle it; None where it takes something else.
    """

    about: Literal["uniform", "simple", "splits"]
    text: str
    good: bool = False
    check: tuple[str, int] | None = None


@dataclass(frozen=True)
class Comparison:
    """The comparison of every method with uniform and with the best simple alternative; either may be missing."""

    uniform: list[ToTarget] = field(default_factory=list)
    simple: list[ToTarget] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """The remarks' sentences."""
        return [remark.text for remark in self.remarks]

    def frame(self) -> pd.DataFrame:
        """One row a (baseline, method): target, steps, ratios, interval."""
        rows = [_target_row("uniform", t) for t in self.uniform] + [_target_row("best simple", t) for t in self.simple]
        return pd.DataFrame(rows)

    def numbers(self) -> dict[str, float]:
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


def compare(finals: pd.DataFrame, *, steps: int | None = None) -> Comparison:
    """Compare all methods among the runs with uniform and with the best simple alternative.

    Args:
        finals: `runs_frame`; of several uniform methods one counts (`baseline.uniform_of`). steps: an imposed T for uniform; by default the
            shortest settled one.
    """
    frame = tuned(finals)
    uniform = uniform_of(frame)
    if uniform.empty:
        return Comparison(
            remarks=[Remark("uniform", "No complete uniform run was found, so there is no target to reach.")]
        )
    horizon = horizon_of(uniform, str(uniform["method"].iloc[0]), steps)
    if near_chance(uniform[uniform["steps"] == horizon.steps]):
        note = f"uniform ends near chance after {horizon.steps:,} steps, so there is no target to reach."
        return Comparison(remarks=[Remark("uniform", note, check=("uniform", 2 * horizon.steps))])
    others = [group for _, group in frame[frame["role"].isin(["simple", "selecting"])].groupby(["method", "f"])]
    against_uniform = [to_target(group, uniform, horizon) for group in others]
    simple, remark = _against_simple(frame, horizon.steps, others)
    remarks = [_on_horizon("uniform", horizon), remark]
    if frame["split"].nunique() > 1:
        mixed = "Some values are of the test split and some of the validation split: evaluate all runs on one split."
        remarks.append(Remark("splits", mixed))
    return Comparison(against_uniform, simple, remarks)


def _on_horizon(about: Literal["uniform", "simple"], horizon: Horizon, before: str = "") -> Remark:
    check = None if horizon.settled else (horizon.label, 2 * horizon.steps)
    return Remark(about, before + horizon.note, horizon.settled, check)


def best_simple(frame: pd.DataFrame, up_to: int) -> str | None:
    """Name the simple alternative (filter, warm start, ...) with the best validation value within `up_to` steps."""
    best = best_cell(frame[(frame["role"] == "simple") & (frame["steps"] <= up_to)])
    return None if best is None else str(best["method"].iloc[0])


def _against_simple(frame: pd.DataFrame, up_to: int, others: list[pd.DataFrame]) -> tuple[list[ToTarget], Remark]:
    name = best_simple(frame, up_to)
    if name is None:
        none = f"No simple alternative (filtered, warm start, pool + curated) was run within {up_to:,} steps."
        return [], Remark("simple", none, check=("filtered", up_to))
    baseline = frame[(frame["method"] == name) & (frame["role"] == "simple")]
    horizon = horizon_of(baseline, name)
    if near_chance(baseline[baseline["steps"] == horizon.steps]):
        note = f"The best simple alternative, {name}, ends near chance, so it sets no target."
        return [], Remark("simple", note, check=(name, 2 * horizon.steps))
    rivals = [group for group in others if group["role"].iloc[0] == "selecting"]
    outcomes = [to_target(group, baseline, horizon) for group in rivals]
    return outcomes, _on_horizon("simple", horizon, f"The best simple alternative is {name} (by validation). ")


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
        "n": outcome.n,
        **{f"{cost} ratio": outcome.ratios.get(cost, 0.0) for cost in COSTS[1:]},
        "best value": outcome.best_value,
        "best steps": outcome.best_steps,
        "outcome": outcome.sentence(),
    }
