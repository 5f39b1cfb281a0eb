"""Choose T, the schedule of a baseline that sets the target.

T is the shortest schedule that no longer one improves on, by all that is known: there is one of 2T steps or more; no longer one
is told to be better by the interval of the difference; and none ends more than a tenth higher, which too few seeds could not
tell. Where no schedule is such, the baseline's best sets the target, and a sentence says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from superbatch.errors import UserError
from superbatch.reporting.intervals import Difference, difference

HIGHER = 0.1  # relative: a longer schedule that ends this much higher counts as better, significant or not


@dataclass(frozen=True)
class Horizon:
    """Which schedule of the baseline sets the target, and whether it had settled."""

    label: str
    steps: int
    target: float
    settled: bool
    note: str


def horizon_of(baseline: pd.DataFrame, label: str, steps: int | None = None) -> Horizon:
    """Find T and the target that it sets.

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
    cells = {int(length): cell for length, cell in baseline.groupby("steps")}
    settled = [length for length in cells if _is_settled(cells, length)]
    chosen = int(steps if steps is not None else settled[0] if settled else means.idxmax())
    note = _note(cells, chosen, chosen in settled, label)
    return Horizon(label, chosen, float(means[chosen]), chosen in settled, note)


def _is_settled(cells: dict[int, pd.DataFrame], length: int) -> bool:
    return max(cells) >= 2 * length and not _improvements(cells, length)


def _improvements(cells: dict[int, pd.DataFrame], length: int) -> dict[int, Difference]:
    """The longer schedules that are better than this one, with the difference of each to it."""
    value = float(cells[length]["value"].mean())
    longer = {other: difference(cell, cells[length]) for other, cell in cells.items() if other > length}
    return {other: d for other, d in longer.items() if d.above or d.value > HIGHER * value}


def _note(cells: dict[int, pd.DataFrame], chosen: int, settled: bool, label: str) -> str:
    better, longest = _improvements(cells, chosen), max(cells)
    if settled:
        longer = min(other for other in cells if other >= 2 * chosen)
        change = difference(cells[longer], cells[chosen]).text()
        return f"T = {chosen:,} is long enough for {label}: {longer:,} steps change {change}, and no longer schedule is better."
    if better:
        other, gain = max(better.items(), key=lambda item: item[1].value)
        return f"T = {chosen:,} is too short for {label}: {other:,} steps gain {gain.text()}."
    return f"{label} may not have converged at T = {chosen:,}: its longest schedule has {longest:,} steps; run {2 * chosen:,} to check."
