"""The rounds of bootstrapping behind a second reference: how many were tried, what each was worth on validation, which one is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from superbatch.files import read_json
from superbatch.reporting.metrics import metric_title
from superbatch.reporting.numbers import NONE, percent
from superbatch.reporting.runs import Run

FILE = Path("training") / "rounds.json"  # beside the second reference's other records


def rounds_of(reference: Run | None) -> dict[str, Any] | None:
    """Return the record of the rounds that led to a reference; None of a first one."""
    if reference is None or not (reference.path / FILE).is_file():
        return None
    return dict(read_json(reference.path / FILE))


def rounds_sentence(found: dict[str, Any] | None) -> str:
    """Say what bootstrapping came to; empty where there was none."""
    if found is None:
        return ""
    rounds, kept = found["rounds"], found["kept"]
    first, best = rounds[0]["validation"], rounds[kept]["validation"]
    tried = f"{len(rounds) - 1} round{'' if len(rounds) == 2 else 's'}"
    metric = metric_title(found["metric"])
    worth = f"from {percent(first)} to {percent(best)} % on validation ({metric})"
    added = f"{rounds[kept]['chosen'] + rounds[kept]['recaptioned']:,} pairs joined {rounds[kept]['curated']:,}"
    verdict = "" if best > first else ", so it is no better than the first"
    return f"The reference was bootstrapped in {tried}, round {kept} is kept ({added}): {worth}{verdict}."


def rounds_cells(found: dict[str, Any] | None) -> pd.DataFrame:
    """Text cells, a row a round; the first reference is round 0."""
    if found is None:
        return pd.DataFrame()
    metric = metric_title(found["metric"])
    return pd.DataFrame(
        [
            {
                "round": f"{number}{' (kept)' if number == found['kept'] else ''}",
                f"{metric} %, validation": percent(one["validation"]),
                "pairs chosen": f"{one['chosen']:,}" if "chosen" in one else NONE,
                "captions replaced": f"{one['recaptioned']:,}" if "recaptioned" in one else NONE,
                "training FLOPs": f"{one['flops_training']:.3g}",
                "seconds": f"{one['seconds_training']:,.0f}",
            }
            for number, one in enumerate(found["rounds"])
        ]
    )
