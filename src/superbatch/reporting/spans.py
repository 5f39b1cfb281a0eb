"""A run cut into spans of steps, so that a curve of many steps has a few points."""

from __future__ import annotations

import numpy as np
import pandas as pd


def spans(steps: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut steps into at most `bins` equal spans; returns the span of each entry, and the middle of each span."""
    first, count = int(steps.min()), int(steps.max() - steps.min()) + 1
    bins = min(bins, count)
    index = (steps - first) * bins // count
    edges = first + np.arange(bins + 1) * count / bins
    return index.astype(np.int64), (edges[:-1] + edges[1:] - 1) / 2


def binned(ledger: pd.DataFrame, bins: int, how: str = "mean") -> pd.DataFrame:
    """Reduce a ledger to at most `bins` rows, each of a span; `step` is the span's middle, `how` an aggregate of pandas."""
    index, middles = spans(ledger["step"].to_numpy(), bins)
    return ledger.groupby(index).agg(how).assign(step=middles)
