"""95 % intervals that cover what they say: Student's t over seeds; over test images, by bootstrap, where there is one seed.

Three seeds are too few for a bootstrap, whose interval is then little more than their range (it covers 76 %).
Differences between runs are taken seed by seed, which cancels what equal seeds share.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from superbatch.reporting.bootstrap import outcomes, paired_bootstrap
from superbatch.reporting.numbers import bounds, points

TAIL = 0.975  # on each side: 95 % in between


@dataclass(frozen=True)
class Difference:
    """A difference of two mean shares with its 95 % interval.

    Attributes:
        value, low, high: shares; the bounds are NaN where no interval can be given.
        n: seeds that it rests on. over: "seeds", "images" (the test's, with one seed) or "" (no interval).
        paired: image by image, by bootstrap.
    """

    value: float
    low: float
    high: float
    n: int
    over: str
    paired: bool = False

    @property
    def above(self) -> bool:
        """Whether the first is clearly better, by the interval."""
        return bool(self.low > 0)

    @property
    def below(self) -> bool:
        """Whether the first is clearly worse, by the interval."""
        return bool(self.high < 0)

    def text(self) -> str:
        """`+4.8 points [+3.4, +6.3] (n = 3 seeds)`."""
        shown = " ".join(filter(None, [f"{points(self.value)} points", bounds(self.low, self.high, "points")]))
        return f"{shown} ({basis(self.n, self.over)})"


def basis(n: int, over: str) -> str:
    """What an interval rests on, in words: the number of seeds, and whether it is over test images alone."""
    seeds = f"n = {n} seed{'s' if n > 1 else ''}"
    return seeds + {"seeds": "", "images": ", interval over test images only", "": ", no interval"}[over]


def t_interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean of n independent values by Student's t; NaN with fewer than two."""
    n = len(values)
    if n < 2:
        return np.nan, np.nan
    half = stdtrit(n - 1, TAIL) * values.std(ddof=1) / np.sqrt(n)
    return float(values.mean() - half), float(values.mean() + half)


def mean_interval(values: Iterable[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval over seeds; the interval is NaN with fewer than two values."""
    array = np.asarray([v for v in values if np.isfinite(v)], dtype=float)
    return (float(array.mean()) if len(array) else np.nan, *t_interval(array))


def difference(own: pd.DataFrame, other: pd.DataFrame) -> Difference:
    """Return the difference between two groups of runs, each with at least one.

    With two equal seeds or more: paired by them. With two seeds or more each but other ones: Welch's interval. Else one run
    of each, of the same seed if possible, over the test images: paired where it is known which images were hit.

    Args:
        own, other: columns seed, value; value_low and value_high (over images) and hits (`bootstrap.outcomes`) where known.
    """
    a, b = (frame.groupby("seed")["value"].mean() for frame in (own, other))
    common = a.index.intersection(b.index)
    if len(common) >= 2:
        return over_seeds((a[common] - b[common]).to_numpy(float))
    if min(len(a), len(b)) >= 2:
        return _welch(a.to_numpy(float), b.to_numpy(float))
    seed = (common[0],) * 2 if len(common) else (a.index[0], b.index[0])
    return _over_images(own[own["seed"] == seed[0]].iloc[0], other[other["seed"] == seed[1]].iloc[0])


def over_seeds(differences: np.ndarray) -> Difference:
    """The mean of differences seed by seed, float (n,) with n >= 2."""
    return Difference(float(differences.mean()), *t_interval(differences), len(differences), "seeds")


def _welch(a: np.ndarray, b: np.ndarray) -> Difference:
    parts = [x.var(ddof=1) / len(x) for x in (a, b)]
    value, error = float(a.mean() - b.mean()), float(np.sqrt(sum(parts)))
    spread = sum(part**2 / (len(x) - 1) for part, x in zip(parts, (a, b), strict=True))
    half = stdtrit(sum(parts) ** 2 / spread, TAIL) * error if spread > 0 else 0.0
    return Difference(value, value - half, value + half, min(len(a), len(b)), "seeds")


def _over_images(own: pd.Series, other: pd.Series) -> Difference:
    """One run against another: by paired bootstrap over the same images, else by Newcombe's interval of two shares (1998, method 10)."""
    value = float(own["value"] - other["value"])
    found = [outcomes(run) for run in (own.to_dict(), other.to_dict())]
    if found[0] is not None and found[1] is not None and own.get("test_set") == other.get("test_set"):
        gained = [(won - lost, possible) for (won, possible), (lost, _) in zip(*found, strict=True)]
        return Difference(value, *paired_bootstrap(gained), 1, "images", paired=True)
    low = [float(run["value"] - run.get("value_low", np.nan)) for run in (own, other)]
    high = [float(run.get("value_high", np.nan) - run["value"]) for run in (own, other)]
    reach = np.hypot(low[0], high[1]), np.hypot(high[0], low[1])
    over = "images" if np.isfinite(reach).all() else ""
    return Difference(value, value - float(reach[0]), value + float(reach[1]), 1, over)
