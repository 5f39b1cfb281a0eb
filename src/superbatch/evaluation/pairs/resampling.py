"""Values with 95 % intervals over pairs, by bootstrap: pairs are drawn anew, each with all that was measured of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 1_000
TAILS = (2.5, 97.5)  # percent


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval and the pairs that it rests on; NaN where it could not be measured."""

    value: float
    low: float
    high: float
    pairs: int

    def as_json(self) -> dict[str, Any]:
        """Return the numbers by name, null for NaN."""
        return {name: None if number != number else number for name, number in vars(self).items()}


def drawn_anew(pairs: int, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Return how often each pair is in each resample, int64 (R, P)."""
    return np.random.default_rng(seed).multinomial(pairs, np.full(pairs, 1 / pairs), size=resamples)


def estimate(value: float, values_R: np.ndarray, pairs: int) -> Estimate:
    """Return a value with the percentile interval of its resamples; those that could not be computed (NaN) are left out."""
    known = values_R[~np.isnan(values_R)]
    low, high = np.percentile(known, TAILS) if len(known) else (np.nan, np.nan)
    return Estimate(float(value), float(low), float(high), pairs)


def mean_estimate(value_P: np.ndarray, seed: int) -> Estimate:
    """Return the mean of one number a pair, float (P,), with its interval; NaN for no pairs."""
    if not len(value_P):
        return Estimate(np.nan, np.nan, np.nan, 0)
    return estimate(float(value_P.mean()), drawn_anew(len(value_P), seed) @ value_P / len(value_P), len(value_P))
