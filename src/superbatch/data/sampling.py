"""A random sample of a set's rows, the same each time."""

from __future__ import annotations

import numpy as np

from superbatch.errors import UserError
from superbatch.options import SelectionSettings

MOST_ASIDE = 10  # one row in so many, at most, is held out to be measured by


def sampled_rows(rows: int, most: int, seed: int) -> np.ndarray:
    """Return so many of the rows at most, drawn without replacement, int64 ascending; all where there are no more."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False, shuffle=False))


def count_aside(selection: SelectionSettings, rows: int) -> int:
    """Return how many of the rows in use a run keeps aside to measure by (`selection.adapt`); 0 for none.

    Args:
        selection: the run's. rows: in use, before any is left out.

    Raises:
        UserError: too few rows to spare two of them.
    """
    if selection.adapt is None:
        return 0
    most = min(selection.adapt.sample, rows // MOST_ASIDE)
    if most < 2:
        what = f"measures on at most a tenth of the rows in use, and there are only {rows:,} of them"
        raise UserError("selection.adapt", what, f"use {2 * MOST_ASIDE} rows or more, or leave it out")
    return most


def rows_aside(selection: SelectionSettings, rows: int, seed: int) -> np.ndarray | None:
    """Return which of the rows in use those are, by place, int64 ascending; None for none. `seed` is the run's; else as `count_aside`."""
    count = count_aside(selection, rows)
    return sampled_rows(rows, count, seed) if count else None
