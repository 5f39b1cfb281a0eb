"""Which uniform runs others are measured against, where runs of several uniform methods are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from superbatch.reporting.best import best_cell
from superbatch.reporting.configuration import identity

if TYPE_CHECKING:
    from superbatch.reporting.runs import Run


def uniform_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep the runs of one uniform method: their mean sets the target, and runs of different batch sizes have none in common.

    Runs that are marked as `alike` come before others; of several methods the one with the best cell by validation is kept.

    Args:
        frame: `tuned`, with `alike` where it is known: whether a run is of the batch size, model and loss that the comparison is about.
    """
    uniform = frame[frame["role"] == "uniform"]
    if uniform["method"].nunique() < 2:
        return uniform
    fitting = uniform[uniform["alike"].astype(bool)] if "alike" in uniform else uniform[:0]
    best = best_cell(uniform if fitting.empty else fitting)
    return uniform[:0] if best is None else uniform[uniform["method"] == best["method"].iloc[0]]


def alike(run: Run, main: Run) -> bool:
    """Whether two runs have the same batch size, model and loss."""
    return _setup(run) == _setup(main)


def _setup(run: Run) -> tuple[object, ...]:
    return run.batch_size, identity(run.setting("model", "config")), run.setting("training", "loss")
