from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superbatch.errors import UserError
from superbatch.reporting.targets import best_simple, compare, horizon_of, mean_interval, to_target, tuned

ROLES = {"uniform": "uniform", "filtered": "simple", "warm_start": "simple"}


def finals(values: dict[str, dict[int, list[float]]], f: float = 0.8, **extra: Any) -> pd.DataFrame:
    """Rows of `runs_frame` from method -> steps -> value by seed; a selecting step costs twice a uniform one."""
    rows = []
    for method, by_steps in values.items():
        role = ROLES.get(method, "selecting")
        factor = 2.0 if role == "selecting" else 1.0
        for steps, by_seed in by_steps.items():
            for seed, value in enumerate(by_seed):
                rows.append(
                    {
                        "run": f"{method}-{steps}-{seed}",
                        "method": method,
                        "role": role,
                        "f": f if role == "selecting" else 0.0,
                        "steps": steps,
                        "seed": seed,
                        "configuration": "one",
                        "variant": "",
                        "complete": True,
                        "split": "test",
                        "value": value,
                        "validation": value,
                        "flops_paper": factor * steps,
                        "flops_as_executed": factor * steps,
                        "flops_charged": factor * steps + (100 if factor > 1 else 0),
                        "seconds": factor * steps,
                        **extra,
                    }
                )
    return pd.DataFrame(rows)


UNIFORM = {400: [0.30, 0.32], 800: [0.40, 0.42], 1600: [0.41, 0.425]}


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


def test_tuning_goes_by_validation_and_by_seeds() -> None:
    cell = finals({"filtered": {100: [0.5, 0.5]}})
    cell["validation"] = [0.2, 0.2]
    rival = cell.assign(configuration="two", value=0.3, validation=0.4)
    lucky = cell[:1].assign(configuration="three", value=0.9, validation=0.9)  # one seed only
    kept = tuned(pd.concat([cell, rival, lucky]))
    assert set(kept["configuration"]) == {"two"}
    assert tuned(cell.assign(complete=False)).empty


def test_best_simple_is_chosen_by_validation_within_the_horizon() -> None:
    frame = finals(
        {
            "uniform": UNIFORM,
            "filtered": {400: [0.44], 800: [0.45]},
            "warm_start": {400: [0.3], 3200: [0.9]},
            "jest": {200: [0.2], 400: [0.46]},
        }
    )
    assert best_simple(frame, 800) == "filtered"
    assert best_simple(frame, 3200) == "warm_start"
    outcome = compare(frame).simple[0]
    assert outcome.horizon.label == "filtered" and outcome.horizon.steps == 400 and outcome.ratio == 1
    assert [o.method for o in compare(frame).simple] == ["jest"]


def test_parts_that_are_missing_are_noted() -> None:
    assert "no target" in compare(finals({"jest": {100: [0.3]}})).notes[0]
    alone = compare(finals({"uniform": UNIFORM}))
    assert alone.uniform == [] and any("No simple alternative" in note for note in alone.notes)
    mixed = finals({"uniform": UNIFORM, "jest": {100: [0.3]}})
    mixed.loc[mixed["method"] == "jest", "split"] = "validation"
    assert any("evaluate all runs alike" in note for note in compare(mixed).notes)


def test_figures_carry_the_benchmark_names() -> None:
    frame = finals({"uniform": UNIFORM, "filtered": {400: [0.41], 800: [0.415]}, "jest": {50: [0.3], 100: [0.45]}})
    figures = compare(frame).figures()
    assert figures["steps_to_target.jest"] == 8 and figures["steps_to_target_best_simple.jest"] == 4
    assert figures["flops_to_target.jest"] == 4 and figures["flops_to_target_charged.jest"] == pytest.approx(800 / 300)
    both = compare(pd.concat([frame, finals({"jest": {100: [0.3]}}, f=0.9)])).figures()
    assert (
        both["steps_to_target.jest-f0.9"] == 0
        and both["steps_to_target.jest-f0.8"] == 8
        and "steps_to_target.jest" not in both
    )
    table = compare(frame).frame()
    assert list(table["against"]) == ["uniform", "uniform", "best simple"]


def test_mean_interval() -> None:
    mean, low, high = mean_interval([0.1, 0.2, 0.3])
    assert mean == pytest.approx(0.2) and 0.1 <= low < mean < high <= 0.3
    assert mean_interval([0.5])[0] == 0.5 and np.isnan(mean_interval([0.5])[1]) and np.isnan(mean_interval([])[0])


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
