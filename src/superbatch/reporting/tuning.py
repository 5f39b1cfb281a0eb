"""Several configurations of a method at one length (a learning-rate grid, shares of a filter), reduced to one.

Validation decides, before test values are looked at.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def tuned(finals: pd.DataFrame) -> pd.DataFrame:
    """Keep one configuration a (method, f, length): the best by mean validation value among those with the most seeds.

    Args:
        finals: `runs_frame`'s columns; incomplete schedules and runs without a value are left out.
    """
    usable = finals[finals["complete"].astype(bool) & finals["value"].notna()]
    cells = usable.groupby(["method", "f", "steps"], sort=True)
    kept = [cell[cell["configuration"] == _best_configuration(cell)] for _, cell in cells]
    return pd.concat(kept, ignore_index=True) if kept else usable.copy()


def _best_configuration(cell: pd.DataFrame) -> str:
    judged = cell.assign(judge=cell["validation"].fillna(-np.inf))  # a run without validation can't be preferred
    summary = judged.groupby("configuration").agg(seeds=("seed", "nunique"), judge=("judge", "mean"))
    return str(summary.sort_values(["seeds", "judge"], ascending=False, kind="stable").index[0])
