"""Verdicts against the truth about a simulated pool: precision and recall by kind of pair.

A verdict says what a run did with a pair, not whether the pair is bad. So the same number of rows picked by the
reference's score alone stands beside every figure.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from superbatch.options import VERDICTS
from superbatch.reporting.purity import KINDS, UNKNOWN

GOOD_KINDS = ("clean", "near_duplicate")  # the caption says what the image shows
NOT_WORTH = ("unlearnable", "never_worth")


def by_kind(verdicts_R: np.ndarray, kinds_R: np.ndarray) -> pd.DataFrame:
    """Compare verdicts and kinds.

    Args:
        verdicts_R, kinds_R: strings by row; rows of unknown kind are left out.

    Returns:
        One row a (verdict, kind) that occur: `rows`; `precision`, their share of the verdict's rows; `recall`, their
        share of the kind's rows.
    """
    known = kinds_R != UNKNOWN
    counts = pd.crosstab(verdicts_R[known], kinds_R[known])
    counts = counts.reindex(
        index=[v for v in VERDICTS if v in counts.index], columns=[k for k in KINDS if k in counts.columns]
    )
    tidy = counts.rename_axis(index="verdict", columns="kind").stack().rename("rows").reset_index()
    tidy["precision"] = tidy["rows"] / tidy.groupby("verdict")["rows"].transform("sum")
    tidy["recall"] = tidy["rows"] / tidy.groupby("kind")["rows"].transform("sum")
    return tidy


def badness(frame: pd.DataFrame, kinds_R: np.ndarray) -> pd.DataFrame:
    """Tell how well verdicts find bad and good pairs, beside the reference's score alone.

    Args:
        frame: verdict and reference_score by row (`audit.audit_rows`). kinds_R: kind by row.

    Returns:
        One row a question: `found` (verdicts), `sought` (bad or good), `rows`, `precision`, `recall`, `by_reference`
        (precision of as many rows with the lowest, or highest, reference score), `pool` (share of the sought among
        all). Questions whose verdicts nobody got are left out.
    """
    known = kinds_R != UNKNOWN
    frame, bad = frame[known], ~np.isin(kinds_R[known], GOOD_KINDS)
    questions = [(("unlearnable",), "bad"), (NOT_WORTH, "bad"), (("worth_it",), "good")]
    rows = [_answer(frame, verdicts, sought, bad if sought == "bad" else ~bad) for verdicts, sought in questions]
    columns = ["found", "sought", "rows", "precision", "recall", "by_reference", "pool"]
    return pd.DataFrame([row for row in rows if row["rows"]], columns=columns)


def _answer(frame: pd.DataFrame, verdicts: tuple[str, ...], sought: str, wanted: np.ndarray) -> dict[str, object]:
    found = frame["verdict"].isin(verdicts).to_numpy()
    score = frame["reference_score"].to_numpy()
    best = np.argsort(score if sought == "bad" else -score, kind="stable")[: found.sum()]
    hits = int((found & wanted).sum())
    return {
        "found": " + ".join(verdicts),
        "sought": sought,
        "rows": int(found.sum()),
        "precision": hits / max(1, found.sum()),
        "recall": hits / max(1, wanted.sum()),
        "by_reference": float(wanted[best].mean()) if len(best) else np.nan,
        "pool": float(wanted.mean()),
    }


def truth_metrics(frame: pd.DataFrame, kinds_R: np.ndarray) -> dict[str, float]:
    """Flatten both tables for a metrics file: `<verdict>.<kind>.precision`, `<verdicts>.bad.recall` and so on."""
    found: dict[str, float] = {}
    for entry in by_kind(frame["verdict"].to_numpy(), kinds_R).to_dict("records"):
        found |= {f"{entry['verdict']}.{entry['kind']}.{name}": entry[name] for name in ("precision", "recall")}
    for entry in badness(frame, kinds_R).to_dict("records"):
        place = f"{entry['found'].replace(' + ', '_or_')}.{entry['sought']}"
        found |= {f"{place}.{name}": entry[name] for name in ("precision", "recall", "by_reference", "pool")}
    return {name: round(float(value), 6) for name, value in found.items()}
