from __future__ import annotations

import pytest
from synthetic import UNIFORM, finals

from superbatch.errors import UserError
from superbatch.reporting.horizon import horizon_of


def test_values_of_a_few_per_cent_do_not_stop_at_the_first_flat_pair() -> None:
    """400 and 800 steps are level within a point, but 3,200 give twice as much."""
    curve = {400: [0.010], 800: [0.012], 1600: [0.016], 3200: [0.024], 6400: [0.024]}
    found = horizon_of(finals({"uniform": curve}), "uniform")
    assert (found.steps, found.settled) == (3200, True)
    noisy = {400: [0.010, 0.012], 800: [0.012, 0.011], 1600: [0.010, 0.019], 3200: [0.015, 0.030]}
    assert horizon_of(finals({"uniform": noisy}), "uniform").steps == 3200, "two seeds can't tell, the curve does"


def test_a_longer_schedule_within_the_interval_is_no_gain() -> None:
    found = horizon_of(finals({"uniform": UNIFORM}), "uniform")
    assert found.steps == 800 and found.settled
    assert "1,600 steps change +0.75 points [-2.4, +3.9] (n = 2 seeds)" in found.note


def test_a_schedule_that_learned_the_noise_by_heart_does_not_set_the_target() -> None:
    assert horizon_of(finals({"uniform": {100: [0.3], 200: [0.34], 400: [0.27]}}), "uniform").steps == 200


def test_no_t_qualifies_and_says_so() -> None:
    steep = finals({"uniform": {100: [0.1], 200: [0.2], 400: [0.3]}})
    horizon = horizon_of(steep, "uniform")
    assert horizon.steps == 400 and not horizon.settled
    assert "may not have converged at T = " in horizon.note and horizon.note.endswith("run 800 to check.")


def test_an_imposed_t() -> None:
    steep = finals({"uniform": {100: [0.1], 200: [0.2], 400: [0.3]}})
    imposed = horizon_of(steep, "uniform", 200)
    assert imposed.steps == 200 and "too short" in imposed.note and "400 steps gain +10.0 points [" in imposed.note
    with pytest.raises(UserError, match="no schedule of 300 steps"):
        horizon_of(steep, "uniform", 300)
    with pytest.raises(UserError, match="no complete schedule"):
        horizon_of(steep[:0], "uniform")
