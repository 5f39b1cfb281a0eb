from __future__ import annotations

import pandas as pd
from synthetic import FRAME, finals, with_reference

from superbatch.reporting.weak_reference import reference_is_weaker, reference_sentence


def test_reference_sentence() -> None:
    assert "ends below uniform: 35.0 % against uniform's 41.0 %" in reference_sentence(with_reference(0.35))
    assert "-5.0 points [-5.7, -4.3] (n = 1 seed" in reference_sentence(
        with_reference(0.35)
    )  # of seed 0, which has 40.0
    assert "NOT below" in reference_sentence(with_reference(0.6))
    memorised = pd.concat([with_reference(0.35), finals({"uniform": {3200: [0.1, 0.1]}})], ignore_index=True)
    assert "ends below uniform: 35.0 % against uniform's 41.0 %" in reference_sentence(memorised), (
        "T is not the longest schedule"
    )
    assert "was not evaluated" in reference_sentence(FRAME)
    alone = with_reference(0.2)
    assert "no uniform run" in reference_sentence(alone[alone["role"] != "uniform"])


def test_a_reference_level_with_uniform_brings_no_advice() -> None:
    text = reference_sentence(with_reference(0.401))
    assert "not clearly different from uniform" in text and "curated set" not in text


def test_a_reference_above_an_unsettled_uniform_brings_no_advice() -> None:
    frame = with_reference(0.6)
    text = reference_sentence(frame[(frame["role"] != "uniform") | (frame["steps"] == 400)])
    assert "may still gain from longer schedules" in text and "smaller curated set" not in text


def test_a_reference_far_below_is_a_warning_and_no_gain() -> None:
    frame = with_reference(0.24)
    assert "FAR below" in reference_sentence(frame) and "larger curated set" in reference_sentence(frame)
    assert not reference_is_weaker(frame) and reference_is_weaker(with_reference(0.35))
