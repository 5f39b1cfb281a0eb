"""A random sample of a set's rows, the same each time."""

from __future__ import annotations

import numpy as np


def sampled_rows(rows: int, most: int, seed: int) -> np.ndarray:
    """Return so many of the rows at most, drawn without replacement, int64 ascending; all where there are no more."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False, shuffle=False))
