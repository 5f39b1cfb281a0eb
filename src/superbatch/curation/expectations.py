"""A set's summary against thresholds, through Great Expectations.

Each threshold is an `ExpectColumnValuesToBeBetween` on one figure of the summary that `data.ingest` wrote: a table of
one row, so that the check costs the same for a thousand pairs and a billion.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from superbatch.curation.figures import (
    DEFAULT_THRESHOLDS,
    Threshold,
    check_thresholds,
    figure_of,
    summary_figures,
)
from superbatch.data.reasons import REMEDIES
from superbatch.errors import UserError

SEVERITY = {"stop": "critical", "warn": "warning"}  # what Great Expectations calls them


def validate_set(
    summary: Mapping[str, Any], thresholds: Mapping[str, Threshold] | None = None, setting: str = "thresholds"
) -> dict[str, Any]:
    """Judge a set by its summary.

    Args:
        summary: what `data.ingest.ingest` returned.
        thresholds: figure -> {min, max, severity}, either bound or both; DEFAULT_THRESHOLDS if None. Figures are those of
            `figures.summary_figures`. The severity is `stop` (if none is given) or `warn`.
        setting: where the thresholds stand in the parameters, for messages.

    Returns:
        `success`: no expectation that stops failed; `failures` and `warnings`, figure -> a line, for those expectations of
        either severity that are not met; `figures`; `result`, Great Expectations' own JSON.

    Raises:
        UserError: what `figures.check_thresholds` refuses.
    """
    thresholds = DEFAULT_THRESHOLDS if thresholds is None else thresholds
    check_thresholds(thresholds, setting)
    figures = _figures(summary, thresholds)
    result = _validate(_context(), setting, figures, thresholds)
    missed = [entry for entry in result["results"] if not entry["success"]]
    lines = {severity: _lines(missed, SEVERITY[severity], figures, summary) for severity in SEVERITY}
    return {
        "success": not lines["stop"],
        "failures": lines["stop"],
        "warnings": lines["warn"],
        "figures": figures,
        "result": result,
    }


def require_valid(name: str, validation: Mapping[str, Any], rejects: str | Path = "rejects.parquet") -> None:
    """Stop on a set that failed.

    Raises:
        UserError: naming the set, every expectation it doesn't meet, where to look and which keys to change, in one line.
    """
    failures = validation["failures"]
    if not failures:
        return
    keys = " and ".join(f"{name}.expect.{figure}" for figure in failures)
    raise UserError(name, "; ".join(failures.values()), f"see {rejects} for the reasons, or change {keys}")


def write_data_docs(folder: Path, sets: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Threshold]]]) -> None:
    """Write Great Expectations' Data Docs: a site of pages (`index.html`) on each set's expectations and what was found.

    Args:
        folder: an empty directory.
        sets: summary and (checked) thresholds by name.
    """
    context = _context()
    backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())}
    builder = {"class_name": "SiteBuilder", "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"}}
    context.add_data_docs_site("superbatch", {**builder, "store_backend": backend})
    for name, (summary, thresholds) in sets.items():
        _validate(context, name, _figures(summary, thresholds), thresholds)
    context.build_data_docs(["superbatch"])


def _figures(summary: Mapping[str, Any], thresholds: Mapping[str, Threshold]) -> dict[str, float]:
    figures = summary_figures(summary)
    return figures | {name: figure_of(figures, name) for name in thresholds}


def _context() -> Any:
    """Make a context that leaves nothing on disk and tells nobody."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def _validate(
    context: Any, name: str, figures: Mapping[str, float], thresholds: Mapping[str, Threshold]
) -> dict[str, Any]:
    """Run the expectations on a table of one row; the context keeps suite and result for its Data Docs."""
    import pandas as pd
    from great_expectations import ExpectationSuite, ValidationDefinition

    asset = context.data_sources.add_pandas(name).add_dataframe_asset("summary")
    suite = context.suites.add(ExpectationSuite(name, expectations=_expectations(thresholds)))
    data = asset.add_batch_definition_whole_dataframe("whole")
    definition = context.validation_definitions.add(ValidationDefinition(name=name, data=data, suite=suite))
    result: Any = definition.run(batch_parameters={"dataframe": pd.DataFrame([figures])})
    return dict(result.to_json_dict())


def _expectations(thresholds: Mapping[str, Threshold]) -> list[Any]:
    from great_expectations.expectations.core.expect_column_values_to_be_between import ExpectColumnValuesToBeBetween
    from great_expectations.expectations.metadata_types import FailureSeverity

    return [
        ExpectColumnValuesToBeBetween(
            column=name,
            min_value=threshold.get("min"),
            max_value=threshold.get("max"),
            severity=FailureSeverity(SEVERITY[threshold.get("severity", "stop")]),
        )
        for name, threshold in thresholds.items()
    ]


def _lines(
    entries: list[Mapping[str, Any]], severity: str, figures: Mapping[str, float], summary: Mapping[str, Any]
) -> dict[str, str]:
    chosen = [entry["expectation_config"] for entry in entries if entry["expectation_config"]["severity"] == severity]
    return {one["kwargs"]["column"]: _failure(one["kwargs"], figures, summary) for one in chosen}


def _failure(expected: Mapping[str, Any], figures: Mapping[str, float], summary: Mapping[str, Any]) -> str:
    """Say in one line which expectation is not met; of rejects also what to do about the commonest."""
    name = expected["column"]
    wanted = [
        f"{word} {expected[key]:g}"
        for word, key in (("at least", "min_value"), ("at most", "max_value"))
        if expected.get(key) is not None
    ]
    line = f"expected {name} to be {' and '.join(wanted)}, found {figures[name]:.6g}"
    reasons = summary["rejected_by_reason"]
    if not name.startswith("rejected_share") or not reasons:
        return line
    code = name.partition(".")[2] or max(reasons, key=reasons.get)
    return f"{line} ({code} {reasons.get(code, 0):,}: {REMEDIES[code]})"
