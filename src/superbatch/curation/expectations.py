"""A set's summary against thresholds, through Great Expectations.

Each threshold is an `ExpectColumnValuesToBeBetween` on one figure of the summary that `data.ingest` wrote: a table of
one row, so that the check costs the same for a thousand pairs and a billion.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from superbatch.data.reasons import REASONS
from superbatch.errors import UserError

QUANTILE_NAMES = ("min", "p05", "median", "p95", "max")  # at data.ingest.QUANTILES
DEFAULT_THRESHOLDS: dict[str, dict[str, float]] = {
    "rows": {"min": 1},
    "rejected_share": {"max": 0.2},
    "duplicate_image_share": {"max": 0.5},
    "distinct_captions": {"min": 2},
    "caption_characters.median": {"min": 2, "max": 2_000},
    "shorter_side.median": {"min": 16},
}


def summary_figures(summary: Mapping[str, Any]) -> dict[str, float]:
    """Flatten a summary into the figures that thresholds name: `rows`, `rejected_share.image_corrupt`,
    `shorter_side.p05`, ...

    What a set has none of (captions of a classification set without .txt) is NaN, and an expectation on it counts as
    met.
    """
    figures = {name: float(value) for name, value in summary.items() if isinstance(value, (int, float))}
    for name in ("caption_characters", "shorter_side"):
        values = summary[name] or [math.nan] * len(QUANTILE_NAMES)
        figures |= {f"{name}.{part}": float(value) for part, value in zip(QUANTILE_NAMES, values, strict=True)}
    if not summary["captions"]:
        figures |= {"distinct_captions": math.nan, "distinct_caption_share": math.nan}
    entries = max(summary["rows"] + summary["rejected"], 1)
    figures |= {f"rejected_share.{code}": summary["rejected_by_reason"].get(code, 0) / entries for code in REASONS}
    return figures


def validate_set(
    summary: Mapping[str, Any],
    thresholds: Mapping[str, Mapping[str, float]] | None = None,
    setting: str = "thresholds",
) -> dict[str, Any]:
    """Judge a set by its summary.

    Args:
        summary: what `data.ingest.ingest` returned.
        thresholds: figure -> {min, max}, either or both; DEFAULT_THRESHOLDS if None. Figures are those of
        `summary_figures`.
        setting: where the thresholds stand in the parameters, for messages.

    Returns:
        `success`; `failures`, one line for each expectation that is not met; `figures`; `result`, Great Expectations'
        own JSON.

    Raises:
        UserError: a threshold on a figure that there isn't, or with another bound than min and max.
    """
    thresholds = DEFAULT_THRESHOLDS if thresholds is None else thresholds
    figures = summary_figures(summary)
    for name, bounds in thresholds.items():
        _check_threshold(f"{setting}.{name}", name, bounds, figures)
    result = _run(figures, thresholds)
    failures = [_failure(entry, figures) for entry in result["results"] if not entry["success"]]
    return {"success": bool(result["success"]), "failures": failures, "figures": figures, "result": result}


def require_valid(name: str, validation: Mapping[str, Any], rejects: str | Path = "rejects.parquet") -> None:
    """Stop on a set that failed.

    Raises:
        UserError: naming the set and every expectation it doesn't meet, in one line.
    """
    if not validation["success"]:
        raise UserError(
            name,
            "; ".join(validation["failures"]),
            f"see {rejects} for the reasons, or change {name}.expect",
        )


def _check_threshold(where: str, name: str, bounds: Mapping[str, float], figures: Mapping[str, float]) -> None:
    if name not in figures:
        known = ", ".join(figure for figure in figures if not figure.startswith("rejected_share."))
        raise UserError(where, "the set has no such figure", f"there are {known} and rejected_share.<reason code>")
    if not bounds or not set(bounds) <= {"min", "max"}:
        raise UserError(where, f"the bounds are {sorted(bounds)}", "give min, max or both")


def _run(figures: Mapping[str, float], thresholds: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Run the expectations in a context that leaves nothing on disk."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    import pandas as pd
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("summary").add_dataframe_asset("summary")
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": pd.DataFrame([figures])})
    suite = gx.ExpectationSuite("set")
    for name, bounds in thresholds.items():
        low, high = bounds.get("min"), bounds.get("max")
        suite.add_expectation(ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high))
    result: Any = batch.validate(suite)
    return dict(result.to_json_dict())


def _failure(entry: Mapping[str, Any], figures: Mapping[str, float]) -> str:
    """Say in one line which expectation is not met."""
    keywords = entry["expectation_config"]["kwargs"]
    name = keywords["column"]
    wanted = [
        f"{word} {keywords[key]:g}"
        for word, key in (("at least", "min_value"), ("at most", "max_value"))
        if keywords.get(key) is not None
    ]
    return f"expected {name} to be {' and '.join(wanted)}, found {figures[name]:.6g}"
