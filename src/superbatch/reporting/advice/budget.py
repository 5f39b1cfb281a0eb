"""What a budget pays: steps of a preset, and whether they are near to those of the probes."""

from __future__ import annotations

from superbatch.reporting.advice.measured import Measured
from superbatch.reporting.advice.recorded import MOSTLY_RIGHT, NOISY, plain_steps

UNIFORM, EASY, COMMON = "uniform", "easy_reference", "common_first"
FREE = (UNIFORM, COMMON)  # presets that ask no reference
# A budget of so many times the probes' steps is near to them: what is ahead there is ahead at its end, too.
NEAR = 2


def affordable(measured: Measured, preset: str) -> int:
    """Return how many steps of a preset the budget pays: 1 at least."""
    if measured.steps is not None:
        return measured.steps
    assert measured.tflop is not None, "one of the two is given"
    left = measured.tflop - (0.0 if preset in FREE else measured.costs.before)
    return max(1, int(left / (measured.costs.plain * step_cost(measured, preset))))


def step_cost(measured: Measured, preset: str) -> float:
    """Return how many plain steps one of a preset costs, by the record of a pool of this kind."""
    return plain_steps(MOSTLY_RIGHT if measured.kind == "mostly_right" else NOISY, preset)


def is_near(measured: Measured) -> bool:
    """Whether the budget is near to the probes' steps, so that what was seen there is about it."""
    longest = max((probe.steps for probe in measured.probes), default=0)
    return affordable(measured, EASY) <= NEAR * longest
