from __future__ import annotations

import pandas as pd
import pytest
from synthetic import UNIFORM, finals

from superbatch.reporting.comparison import best_simple, compare


def test_best_simple_is_chosen_by_validation_within_the_horizon() -> None:
    frame = finals(
        {
            "uniform": UNIFORM,
            "filtered": {400: [0.44], 800: [0.445]},
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
    assert any("evaluate all runs on one split" in note for note in compare(mixed).notes)


def test_numbers_carry_the_benchmark_names() -> None:
    frame = finals({"uniform": UNIFORM, "filtered": {400: [0.41], 800: [0.415]}, "jest": {50: [0.3], 100: [0.45]}})
    numbers = compare(frame).numbers()
    assert numbers["steps_to_target.jest"] == 8 and numbers["steps_to_target_best_simple.jest"] == 4
    assert numbers["flops_to_target.jest"] == 4 and numbers["flops_to_target_charged.jest"] == pytest.approx(800 / 300)
    both = compare(pd.concat([frame, finals({"jest": {100: [0.3]}}, f=0.9)])).numbers()
    assert (
        both["steps_to_target.jest-f0.9"] == 0
        and both["steps_to_target.jest-f0.8"] == 8
        and "steps_to_target.jest" not in both
    )
    table = compare(frame).frame()
    assert list(table["against"]) == ["uniform", "uniform", "best simple"]


def test_a_baseline_near_chance_sets_no_target() -> None:
    uniform = finals({"uniform": {100: [0.006], 200: [0.005]}}, chance=0.005)
    others = finals({"filtered": {100: [0.007]}, "jest": {100: [0.3]}}, chance=0.005)
    made = compare(pd.concat([uniform, others]))
    assert made.uniform == made.simple == [] and "near chance after" in made.notes[0]
    strong = compare(pd.concat([finals({"uniform": {100: [0.3], 200: [0.3]}}, chance=0.005), others]))
    assert strong.simple == [] and any("filtered, ends near chance" in note for note in strong.notes)
