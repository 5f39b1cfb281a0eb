"""Whether the reference alone is weaker than uniform, as an honest comparison needs."""

from __future__ import annotations

import pandas as pd

from superbatch.reporting.targets import Horizon, horizon_of
from superbatch.reporting.tuning import tuned


def reference_is_weaker(finals: pd.DataFrame) -> bool:
    """Whether the reference alone ends below uniform; False where that is not known."""
    end = _uniform_end(finals)
    # A mean of nothing is NaN, and not below anything.
    return end is not None and bool(finals.loc[finals["role"] == "reference", "value"].mean() < end.target)


def reference_sentence(finals: pd.DataFrame) -> str:
    """Say whether the reference alone ends below uniform's final accuracy, as an honest comparison needs."""
    reference = finals[(finals["role"] == "reference") & finals["value"].notna()]
    if reference.empty:
        return "The reference alone was not evaluated: whether it is weaker than uniform is not known."
    own, end = float(reference["value"].mean()), _uniform_end(finals)
    if end is None:
        return f"The reference alone stands at {100 * own:.1f} %; there is no uniform run to hold against it."
    where = f"{100 * own:.1f} % against {100 * end.target:.1f} % of uniform after {end.steps:,} steps"
    where += f" ({100 * (own - end.target):+.1f} points)"
    if own < end.target:
        return f"The reference alone ends below uniform: {where}."
    advice = "What is gained here may come from the reference; use a smaller curated set."
    return f"The reference alone is NOT below uniform: {where}. {advice}"


def _uniform_end(finals: pd.DataFrame) -> Horizon | None:
    """The schedule of uniform that sets the target: one twice as long may end lower, where it has learned the noise by heart."""
    uniform = tuned(finals)
    uniform = uniform[uniform["role"] == "uniform"].dropna(subset=["value"])
    return None if uniform.empty else horizon_of(uniform, "uniform")
