"""How the picks changed: kinds of pairs, scores, and how the picks stand to the reference, over time."""

from __future__ import annotations

from html import escape

import pandas as pd

from superbatch.reporting import html
from superbatch.reporting.html import Pictures
from superbatch.reporting.numbers import percent
from superbatch.reporting.pictures import plot
from superbatch.reporting.report import Report


def changed(report: Report, pictures: Pictures) -> str:
    """Purity, scores and standing over time, or why one of them can't be shown."""
    if report.main.picks is None or report.main.role == "uniform":
        return html.missing("Nothing was selected in this run, so no picks could change.")
    if report.kind_totals is None:
        kinds = html.missing(
            "The truth about this pool's pairs is not known, so the purity of the picks can't be shown."
        )
    else:
        kinds = plot(pictures, "purity") + html.table(
            _kind_cells(report.kind_totals), "Kinds of pairs over the whole run"
        )
    scores = "The run kept no ledger: no scores over time." if report.main.ledger is None else ""
    beside = "The pool's embeddings by this run's reference are not at hand: how the picks stand to it can't be shown."
    return kinds + plot(pictures, "scores", scores) + _standing(report) + plot(pictures, "standing", beside)


def _standing(report: Report) -> str:
    found = report.standing
    if found is None:
        return ""
    of_pool = f"{100 * found.share:.3g} % of the pool that the reference scores highest"
    line = f"{100 * found.favourites:.0f} % of all picks are among the {of_pool}; chance would give {100 * found.share:.3g} %."
    return f"<p>{escape(line)}</p>"


def _kind_cells(kinds: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "kind of pair": kinds["kind"].str.replace("_", " "),
            "in the pool %": kinds["pool"].map(percent),
            "among the picks %": kinds["picked"].map(percent),
            "times its share": kinds["lift"].map(lambda v: f"{v:.2f}×" if pd.notna(v) else "–"),
        }
    )
