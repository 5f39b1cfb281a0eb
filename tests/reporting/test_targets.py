from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import UNIFORM, finals

from superbatch.errors import UserError
from superbatch.reporting.comparison import compare
from superbatch.reporting.targets import horizon_of, to_target


def test_by_hand() -> None:
    frame = finals({"uniform": UNIFORM, "jest": {50: [0.3, 0.4], 100: [0.41, 0.43], 200: [0.45, 0.5]}})
    outcome = compare(frame).uniform[0]
    # T = 800: 1600 gains 0.75 points only, while 400 is 10 points below 800. Target 0.41; jest's mean at 100 is 0.42.
    assert (outcome.horizon.steps, outcome.horizon.settled) == (800, True)
    assert outcome.horizon.target == pytest.approx(0.41)
    assert outcome.steps == 100 and outcome.ratio == 8
    assert outcome.ratios["flops_paper"] == 4
    assert outcome.ratios["flops_charged"] == pytest.approx(800 / 300)
    assert outcome.at_least == ""  # a shorter schedule was run, and fell short


def test_target_met_exactly_counts() -> None:
    frame = finals({"uniform": {800: [0.1 + 0.2], 1600: [0.3]}, "jest": {100: [0.3]}})
    assert compare(frame).uniform[0].steps == 100


def test_interval_over_seeds_by_hand() -> None:
    # At 100 steps one seed of two lies above the target: the mean of two draws reaches 0.4 unless both are the low one.
    frame = finals({"uniform": {400: [0.4, 0.4], 800: [0.4, 0.4]}, "jest": {100: [0.35, 0.45], 200: [0.5, 0.5]}})
    outcome = compare(frame, resamples=4_000).uniform[0]
    assert outcome.ratio == 4 and (outcome.low, outcome.high) == (2, 4) and outcome.reached == 1
    assert "(95 %: 2 to 4)" in outcome.sentence()


def test_resamples_that_miss_count_as_zero() -> None:
    frame = finals({"uniform": {400: [0.4], 800: [0.4]}, "jest": {100: [0.35, 0.45]}})
    outcome = compare(frame, resamples=4_000).uniform[0]
    assert outcome.low == 0 and outcome.reached == pytest.approx(0.75, abs=0.03)
    assert "not reached to 4" in outcome.sentence()


def test_not_reached_says_so_with_the_best() -> None:
    outcome = compare(finals({"uniform": UNIFORM, "jest": {100: [0.2], 200: [0.38]}})).uniform[0]
    assert outcome.steps is None and outcome.ratio == 0 and outcome.ratios == {}
    assert "does not reach" in outcome.sentence() and "38.0 % after 200 steps" in outcome.sentence()


def test_slower_and_level_methods_are_worded_right() -> None:
    level, slower = compare(
        finals({"uniform": {100: [0.3], 200: [0.3]}, "a": {100: [0.3]}, "b": {50: [0.1], 200: [0.5]}})
    ).uniform
    assert "in as many steps" in level.sentence() and "no shorter schedule of it was run" in level.sentence()
    assert slower.ratio == 0.5 and "2 times more" in slower.sentence()


def test_horizon_unsettled_or_imposed() -> None:
    steep = finals({"uniform": {100: [0.1], 200: [0.2], 400: [0.3]}})
    horizon = horizon_of(steep, "uniform")
    assert horizon.steps == 400 and not horizon.settled and "not shown" in horizon.note
    imposed = horizon_of(steep, "uniform", 200)
    assert imposed.steps == 200 and "still gains 10.0 points" in imposed.note
    with pytest.raises(UserError, match="no schedule of 300 steps"):
        horizon_of(steep, "uniform", 300)
    with pytest.raises(UserError, match="no complete schedule"):
        horizon_of(steep[:0], "uniform")


def test_within_one_point_includes_one_point() -> None:
    assert horizon_of(finals({"uniform": {100: [0.30], 200: [0.31], 400: [0.4]}}), "uniform").steps == 100


SHARE = st.floats(0, 1).map(lambda x: round(x, 4))
SCHEDULES = st.dictionaries(
    st.sampled_from([25, 50, 100, 200, 400]), st.lists(SHARE, min_size=1, max_size=3), min_size=1
)


def _ratio(schedules: dict[int, list[float]], target: list[float]) -> tuple[float, float, float]:
    frame = finals({"uniform": {400: target}, "jest": schedules})
    uniform = frame[frame["method"] == "uniform"]
    outcome = to_target(frame[frame["method"] == "jest"], uniform, horizon_of(uniform, "uniform"), resamples=50)
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
    assert before[1] <= before[2]


@settings(max_examples=30, deadline=None)
@given(SCHEDULES, st.lists(SHARE, min_size=1, max_size=3), st.lists(SHARE, min_size=1, max_size=3))
def test_a_longer_schedule_changes_nothing_once_reached(
    schedules: dict[int, list[float]], target: list[float], longer: list[float]
) -> None:
    ratio = _ratio(schedules, target)[0]
    more = _ratio(schedules | {800: longer}, target)[0]
    assert more == ratio or (ratio == 0 and more == 0.5)
