from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import UNIFORM, finals

from superbatch.reporting.comparison import compare
from superbatch.reporting.horizon import horizon_of
from superbatch.reporting.intervals import over_seeds
from superbatch.reporting.targets import reaching, to_target


def test_by_hand() -> None:
    frame = finals({"uniform": UNIFORM, "jest": {50: [0.2, 0.21], 100: [0.41, 0.43], 200: [0.45, 0.5]}})
    outcome = compare(frame).uniform[0]
    # T = 800: 1600 gains 0.75 points only, while 400 is 10 points below 800. Target 0.41; jest's mean at 100 is 0.42.
    assert (outcome.horizon.steps, outcome.horizon.settled) == (800, True)
    assert outcome.horizon.target == pytest.approx(0.41)
    assert outcome.steps == 100 and outcome.ratio == 8
    assert outcome.ratios["flops_paper"] == 4
    assert outcome.ratios["flops_charged"] == pytest.approx(800 / 300)
    assert outcome.at_least == ""  # a shorter schedule was run, and fell short
    # By pairs: each seed is a point ahead at 100 steps (no spread at all), and 20 or 21 points behind at 50.
    assert (outcome.low, outcome.high, outcome.open, outcome.n, outcome.over) == (8, 8, False, 2, "seeds")
    assert "8 times fewer (95 %: 8; n = 2 seeds)" in outcome.sentence()


def test_target_met_exactly_counts() -> None:
    frame = finals({"uniform": {800: [0.1 + 0.2], 1600: [0.3]}, "jest": {100: [0.3]}})
    assert compare(frame).uniform[0].steps == 100


def test_the_interval_inverts_the_test() -> None:
    target = {400: [0.40, 0.41, 0.42], 800: [0.40, 0.41, 0.42]}
    # Pairs at 100: -5, 0, +6 points; at 200: all 10 points ahead; at 50: all 20 behind.
    jest = {50: [0.20, 0.21, 0.22], 100: [0.35, 0.41, 0.48], 200: [0.50, 0.51, 0.52]}
    outcome = compare(finals({"uniform": target, "jest": jest})).uniform[0]
    assert (outcome.ratio, outcome.low, outcome.high, outcome.open) == (4, 2, 4, False)
    assert "reaches uniform's 41.0 % after 400 steps in 100 steps, 4 times fewer (95 %: 2 to 4; n = 3 seeds)" in (
        outcome.sentence()
    )
    alone = compare(finals({"uniform": target, "jest": {100: jest[100]}})).uniform[0]
    assert (alone.low, alone.high, alone.open) == (0, 4, True)
    assert "not certainly" in alone.sentence() and "not reached to 4 or more" in alone.sentence()
    short = compare(finals({"uniform": target, "jest": {100: [0.33, 0.41, 0.45]}})).uniform[0]
    assert short.ratio == 0 and "is not shown to reach" in short.sentence()


def test_the_ratio_s_interval_covers() -> None:
    """Schedules of 500 and 615 steps lie just below and exactly at the target, where the test has its size."""
    rng, lengths = np.random.default_rng(0), [400, 500, 615, 800, 1000]
    for true, at_most in (([-0.03, -1e-9, 0, 0.03, 0.06], 0.99), ([-0.03, -0.01, 0.003, 0.03, 0.06], 1.0)):
        covered = 0
        for _ in range(3_000):
            noise = 0.015 * rng.standard_normal((6, 3))
            held = [over_seeds(mean + noise[i] - noise[5]) for i, mean in enumerate(true)]
            surely, perhaps = reaching(lengths, held)
            covered += (perhaps or np.inf) <= 615 <= (surely or np.inf)
        assert 0.93 <= covered / 3_000 <= at_most


def test_not_reached_says_so_with_the_best() -> None:
    outcome = compare(finals({"uniform": UNIFORM, "jest": {100: [0.2, 0.22], 200: [0.38, 0.40]}})).uniform[0]
    assert outcome.steps is None and outcome.ratio == 0 and outcome.ratios == {} and outcome.high == 0
    assert "does not reach" in outcome.sentence() and "39.0 % after 200 steps" in outcome.sentence()


def test_slower_and_level_methods_are_worded_right() -> None:
    level, slower = compare(
        finals({"uniform": {100: [0.3], 200: [0.3]}, "a": {100: [0.3]}, "b": {50: [0.1], 200: [0.5]}})
    ).uniform
    assert (
        "in the same number of steps" in level.sentence()
        and "no shorter run was tried, so no speed-up" in level.sentence()
    )
    assert "reaches on average, but not certainly" in level.sentence()
    assert (
        slower.ratio == 0.5
        and "2 times more" in slower.sentence()
        and "n = 1 seed, interval over test images only" in (slower.sentence())
    )


SHARE = st.floats(0, 1).map(lambda x: round(x, 4))
SCHEDULES = st.dictionaries(
    st.sampled_from([25, 50, 100, 200, 400]), st.lists(SHARE, min_size=1, max_size=3), min_size=1
)


def _ratio(schedules: dict[int, list[float]], target: list[float]) -> tuple[float, float, float]:
    frame = finals({"uniform": {400: target}, "jest": schedules})
    uniform = frame[frame["method"] == "uniform"]
    outcome = to_target(frame[frame["method"] == "jest"], uniform, horizon_of(uniform, "uniform"))
    return outcome.ratio, outcome.low, outcome.high


@settings(max_examples=30, deadline=None)
@given(SCHEDULES, st.lists(SHARE, min_size=1, max_size=3), st.floats(0, 0.3))
def test_better_values_never_cost_more_and_higher_targets_never_less(
    schedules: dict[int, list[float]], target: list[float], lift: float
) -> None:
    before = _ratio(schedules, target)
    better = _ratio({steps: [v + lift for v in values] for steps, values in schedules.items()}, target)
    harder = _ratio(schedules, [v + lift for v in target])
    assert all(b >= a for a, b in zip(before, better, strict=True))
    assert all(h <= a for a, h in zip(before, harder, strict=True))
    assert before[1] <= before[0] <= before[2]


@settings(max_examples=30, deadline=None)
@given(SCHEDULES, st.lists(SHARE, min_size=1, max_size=3), st.lists(SHARE, min_size=1, max_size=3))
def test_a_longer_schedule_changes_nothing_once_reached(
    schedules: dict[int, list[float]], target: list[float], longer: list[float]
) -> None:
    ratio = _ratio(schedules, target)[0]
    more = _ratio(schedules | {800: longer}, target)[0]
    assert more == ratio or (ratio == 0 and more == 0.5)
