"""Whether the reference alone ends below uniform, as a fair comparison needs, or is too weak to trust."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from superbatch.reporting.baseline import uniform_of
from superbatch.reporting.horizon import Horizon, horizon_of
from superbatch.reporting.intervals import Difference, difference
from superbatch.reporting.numbers import percent
from superbatch.reporting.tuning import tuned

FAR = 0.75  # of uniform's value: below it a reference has been seen to hold back every selection


@dataclass(frozen=True)
class Standing:
    """The reference alone beside the schedule of uniform that sets the target; shares, and their difference."""

    own: float
    uniform: Horizon
    difference: Difference

    @property
    def far_below(self) -> bool:
        """Whether it is so weak that it may limit what selection with it can reach."""
        return self.difference.below and self.own < FAR * self.uniform.target

    def values(self) -> str:
        """Both values and their difference, in words."""
        end = self.uniform
        both = f"{percent(self.own)} % against uniform's {percent(end.target)} % after {end.steps:,} steps"
        return f"{both}, {self.difference.text()}"


def reference_standing(finals: pd.DataFrame) -> Standing | None:
    """Compare the reference alone with uniform; None where either is not known."""
    reference = finals[(finals["role"] == "reference") & finals["value"].notna()]
    frame = tuned(finals)
    uniform = uniform_of(frame)
    if reference.empty or uniform.empty:
        return None
    end = horizon_of(uniform, "uniform")
    against = difference(reference, uniform[uniform["steps"] == end.steps])
    return Standing(float(reference["value"].mean()), end, against)


def reference_is_weaker(finals: pd.DataFrame) -> bool:
    """Whether the reference alone ends clearly below uniform, but not far; False where that is not known."""
    found = reference_standing(finals)
    return found is not None and found.difference.below and not found.far_below


def reference_sentence(finals: pd.DataFrame) -> str:
    """Say how the reference alone compares with uniform, and what follows."""
    found = reference_standing(finals)
    if found is None:
        return _unknown(finals)
    if found.far_below:
        weak = "such a weak reference can hold back every selection: train it longer or on a larger curated set"
        return f"The reference alone is FAR below uniform: {found.values()}; {weak}."
    if found.difference.below:
        return f"The reference alone ends below uniform: {found.values()}."
    if not found.difference.above:
        return f"The reference alone is not clearly different from uniform: {found.values()}."
    if not found.uniform.settled:
        return f"The reference alone is above uniform, which may still gain from longer schedules: {found.values()}."
    advice = "the gain may come from the reference alone; a smaller curated set would show it"
    return f"The reference alone is NOT below uniform: {found.values()}; {advice}."


def _unknown(finals: pd.DataFrame) -> str:
    reference = finals.loc[(finals["role"] == "reference"), "value"].dropna()
    if reference.empty:
        return "The reference alone was not evaluated, so it is not known whether it is weaker than uniform."
    return f"The reference alone reaches {percent(reference.mean())} %; there is no uniform run to compare it with."
