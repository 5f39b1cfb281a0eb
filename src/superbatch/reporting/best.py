"""The best of all runs: whether selection is ahead of what does without it, whichever method and length that takes."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from superbatch.reporting.intervals import Difference, difference
from superbatch.reporting.names import label_of
from superbatch.reporting.numbers import percent


@dataclass(frozen=True)
class Best:
    """The best selection and the best without selection, by validation, each with its runs; their difference on test."""

    selecting: pd.DataFrame
    plain: pd.DataFrame
    difference: Difference

    def sentence(self) -> str:
        """Who is ahead, in words."""
        own, other = _where(self.selecting), _where(self.plain)
        if self.difference.above:
            return f"The best of all is {own}; the best without selection is {other}: {self.difference.text()}."
        if self.difference.below:
            return f"{other} beats all selection, whose best is {own}: {self.difference.text()}."
        return f"The best selection is not clearly different from the best run without one: {own} and {other}, {self.difference.text()}."


def best_of_all(frame: pd.DataFrame) -> Best | None:
    """Compare the best selection with the best of uniform and the simple alternatives; None where either is missing.

    Args:
        frame: `tuned`.
    """
    selecting = best_cell(frame[frame["role"] == "selecting"])
    plain = best_cell(frame[frame["role"].isin(["uniform", "simple"])])
    if selecting is None or plain is None:
        return None
    return Best(selecting, plain, difference(selecting, plain))


def best_cell(frame: pd.DataFrame) -> pd.DataFrame | None:
    """The runs of the (method, f, length) with the highest mean validation value (test, where there is none)."""
    if frame.empty:
        return None
    keys = ["method", "f", "steps"]
    judged = frame.assign(judge=frame["validation"].fillna(frame["value"]))
    best = judged.groupby(keys)["judge"].mean().idxmax()
    return frame[(frame[keys] == list(best)).all(axis=1)]


def _where(cell: pd.DataFrame) -> str:
    first = cell.iloc[0]
    value = f"{percent(cell['value'].mean())} %"
    return f"{label_of(first['method'], first['f'])} after {first['steps']:,} steps ({value})"
