"""Several configurations of a method at one length (a learning-rate grid, shares of a filter), reduced to one.

Validation decides, before test values are looked at.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from superbatch.reporting.names import label_of


def tuned(finals: pd.DataFrame) -> pd.DataFrame:
    """Keep one configuration a (method, f, length): the best by mean validation value among those with the most seeds.

    Args:
        finals: `runs_frame`'s columns; incomplete schedules and runs without a value are left out.

    Returns:
        The rows kept, with `candidates`: the settings of all configurations it was chosen of, the chosen one first.
    """
    usable = finals[finals["complete"].astype(bool) & finals["value"].notna()]
    cells = usable.groupby(["method", "f", "steps"], sort=True)
    kept = [_best(cell) for _, cell in cells]
    return pd.concat(kept, ignore_index=True) if kept else usable.assign(candidates=None)


def choices(frame: pd.DataFrame) -> str:
    """Say what was chosen of what, in one sentence; empty where each method had one candidate at each length.

    Args:
        frame: `tuned`.
    """
    parts = []
    for (method, f, steps), cell in frame.groupby(["method", "f", "steps"]):
        chosen, *others = _telling(list(cell["candidates"].iloc[0]))
        if others:
            parts.append(f"{label_of(method, f)} at {steps:,} steps {chosen} (not {'; '.join(others)})")
    return f"Chosen by validation: {', '.join(parts)}." if parts else ""


def _best(cell: pd.DataFrame) -> pd.DataFrame:
    order = _ranked(cell)
    words = cell["tuning"] if "tuning" in cell else cell["variant"]
    settings = tuple(str(words[cell["configuration"] == name].iloc[0]) for name in order)
    best = cell[cell["configuration"] == order[0]]
    return best.assign(candidates=[settings] * len(best))


def _ranked(cell: pd.DataFrame) -> list[str]:
    """Order a cell's configurations, the best first."""
    judged = cell.assign(judge=cell["validation"].fillna(-np.inf))  # a run without validation can't be preferred
    summary = judged.groupby("configuration").agg(seeds=("seed", "nunique"), judge=("judge", "mean"))
    return list(summary.sort_values(["seeds", "judge"], ascending=False, kind="stable").index.astype(str))


def _telling(settings: list[str]) -> list[str]:
    """Remove from each list the words that all lists have."""
    words = [text.split(", ") for text in settings]
    common = set.intersection(*map(set, words))
    return [", ".join(word for word in of_one if word not in common) or "as set" for of_one in words]
