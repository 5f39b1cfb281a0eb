"""How the picks changed: kinds of pairs, scores, and how the picks stand to the reference, over time."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from superbatch.reporting.names import words
from superbatch.reporting.numbers import NONE, percent
from superbatch.reporting.parts import Table
from superbatch.reporting.report import Report


@dataclass(frozen=True)
class Changed:
    """What the section shows, beside its figures.

    Attributes:
        kinds: of pairs, over the whole run; None where the truth is not known.
        ledger: whether the run kept one.
        standing: a sentence on the picks and the reference's favourites; empty where it is not known.
    """

    kinds: Table | None
    ledger: bool
    standing: str


def changed(report: Report) -> Changed | None:
    """Purity, scores and standing over time; None where nothing was selected."""
    if report.main.picks is None or report.main.role == "uniform":
        return None
    kinds = None if report.kind_totals is None else Table.of(_kind_cells(report.kind_totals))
    return Changed(kinds, report.main.ledger is not None, _standing(report))


def _standing(report: Report) -> str:
    found = report.standing
    if found is None:
        return ""
    of_pool = f"{100 * found.share:.3g} % of the pool that the reference scores highest"
    return f"{100 * found.favourites:.0f} % of all picks are among the {of_pool}; chance would give {100 * found.share:.3g} %."


def _kind_cells(kinds: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "kind of pair": kinds["kind"].map(words),
            "in the pool %": kinds["pool"].map(percent),
            "among the picks %": kinds["picked"].map(percent),
            "times its share": kinds["lift"].map(lambda v: f"{v:.2f}×" if pd.notna(v) else NONE),
        }
    )
