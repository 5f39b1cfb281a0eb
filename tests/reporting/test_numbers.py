from __future__ import annotations

import pytest

from superbatch.reporting.numbers import bounds, percent, points


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0.3402, "34.0"),
        (0.0052, "0.52"),
        (0.000693, "0.069"),
        (0.0, "0.0"),
        (1e-9, "0.0"),
        (1.0, "100.0"),
        (float("nan"), "–"),
    ],
)
def test_small_shares_keep_two_digits(share: float, shown: str) -> None:
    assert percent(share) == shown


@pytest.mark.parametrize(
    ("difference", "shown"), [(0.048, "+4.8"), (-0.0026, "-0.26"), (-1e-9, "0.0"), (-0.0, "0.0"), (-0.0004, "-0.04")]
)
def test_differences_have_a_sign_unless_they_are_nothing(difference: float, shown: str) -> None:
    assert points(difference) == shown


def test_bounds() -> None:
    assert bounds(0.1, 0.2) == "[10.0, 20.0]" and bounds(-0.01, 0.002, "points") == "[-1.0, +0.2]"
    assert bounds(float("nan"), 1) == ""
