"""Which methods a chart has a line for: a reader follows a few."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from superbatch.reporting.baseline import uniform_of
from superbatch.reporting.best import best_cell
from superbatch.reporting.names import label_of

if TYPE_CHECKING:
    from superbatch.reporting.report import Report

MOST = 5  # methods


def lines_of(report: Report) -> list[str]:
    """Labels of the methods that are drawn: the main one, uniform, the best without selection, the best of all, then others by validation.

    MOST at most, and the reference that the main run was trained with.
    """
    frame = report.tuned[report.tuned["role"] != "reference"]
    first = [best_cell(one) for one in (uniform_of(frame), frame[frame["role"] == "simple"], frame)]
    wanted = [report.label, *(_label(one) for one in first if one is not None), *_by_validation(frame)]
    own = [] if report.reference is None else [report.reference.method]
    return [*list(dict.fromkeys(wanted))[:MOST], *own]


def left_out(report: Report) -> int:
    """How many methods have no line."""
    frame = report.tuned[report.tuned["role"] != "reference"]
    return max(0, frame.groupby(["method", "f"]).ngroups - MOST)


def _by_validation(frame: pd.DataFrame) -> list[str]:
    """Labels of all methods, the best first."""
    judged = frame.assign(judge=frame["validation"].fillna(frame["value"]))
    best = judged.groupby(["method", "f"])["judge"].max().sort_values(ascending=False, kind="stable")
    return [label_of(str(method), float(f)) for method, f in best.index]


def _label(cell: pd.DataFrame) -> str:
    return label_of(str(cell["method"].iloc[0]), float(cell["f"].iloc[0]))
