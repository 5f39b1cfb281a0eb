"""Intervals over seeds: percentiles over bootstrap resamples, drawn independently for every (method, length)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd


def mean_interval(values: Iterable[float], *, resamples: int = 2_000, seed: int = 0) -> tuple[float, float, float]:
    """Mean and 95 % bootstrap interval over seeds; the interval is NaN with fewer than two values."""
    array = np.asarray([v for v in values if np.isfinite(v)], dtype=float)
    if len(array) == 0:
        return (np.nan, np.nan, np.nan)
    if len(array) == 1:
        return (float(array[0]), np.nan, np.nan)
    low, high = np.quantile(_resampled_means(array, resamples, np.random.default_rng(seed)), [0.025, 0.975])
    return (float(array.mean()), float(low), float(high))


def steps_ratios(method: pd.DataFrame, target_values: np.ndarray, steps: int, resamples: int, seed: int) -> np.ndarray:
    """Ratio of steps to target in each resample: target and every length drawn anew; 0 where nothing reaches it.

    Args:
        method: tuned runs of one method. target_values: the baseline's by seed, after `steps` steps.

    Returns:
        float64 (resamples,): `steps` over the length of the method's shortest schedule that reaches the target.
    """
    rng = np.random.default_rng(seed)
    target = _resampled_means(target_values, resamples, rng)
    ratio = np.zeros(resamples)
    lengths = sorted(method["steps"].unique(), reverse=True)  # shorter schedules overwrite longer ones
    for length in lengths:
        means = _resampled_means(method.loc[method["steps"] == length, "value"].to_numpy(float), resamples, rng)
        ratio[means >= target - 1e-12] = steps / length
    return ratio


def _resampled_means(values: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    return values[rng.integers(len(values), size=(resamples, len(values)))].mean(axis=1)
