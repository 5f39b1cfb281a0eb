"""Check a set against thresholds with Great Expectations: columns of its manifest and rejects, value by value.

Measures of the samples (`shorter_side`) and shares of entries that have something wrong (`rejected_share`) are
expectations on each row, with `mostly`, so that the values that fail are known with their keys. What only the whole set
has (`rows`, quantiles, scripts) is an expectation on the summary that ingestion wrote.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from superbatch.curation import columns
from superbatch.curation.statistics import (
    DEFAULT_THRESHOLDS,
    NOTE,
    REJECTED,
    UNREAD_SHARES,
    Threshold,
    check_thresholds,
    statistic_of,
    summary_statistics,
)
from superbatch.data.manifest import MANIFEST_FILE, SUMMARY_FILE
from superbatch.data.reasons import REMEDIES
from superbatch.errors import UserError
from superbatch.files import read_json

SEVERITY = {"stop": "critical", "warn": "warning"}  # what Great Expectations calls them
SAMPLES, SHARDS, STATISTICS = "samples", "shards", "statistics"  # the tables
EXAMPLES = 3  # values that failed in a line, with their keys
SHOWN = 20  # the same in Great Expectations' results
KEYS_IN_DOCS = 100_000  # entries up to which Data Docs show keys: Great Expectations looks at all of those that fail
ABOUT_REJECTS = ("rows", "rejected_share", "unread_")
DUPLICATES = "duplicate_image_share"  # of rows that are in the manifest, each with its image's checksum


@dataclass(frozen=True)
class Rule:
    """How Great Expectations is to judge one threshold.

    Attributes:
        table: SAMPLES, SHARDS or STATISTICS. column: of it.
        kind: the expectation's class. arguments: its arguments beside column and severity.
    """

    table: str
    column: str
    kind: str
    arguments: Mapping[str, Any]


def rule_of(name: str, threshold: Threshold) -> Rule:
    """Return how a threshold is judged: row by row where it is about rows, else by the statistic of the whole set."""
    bounds = {"min_value": threshold.get("min"), "max_value": threshold.get("max")}
    if name in columns.MEASURES:
        mostly = 1.0 if threshold.get("mostly") is None else threshold["mostly"]
        return Rule(SAMPLES, name, "ExpectColumnValuesToBeBetween", {**bounds, "mostly": mostly})
    found = None if threshold.get("max") is None or threshold.get("min") is not None else _row_rule(name)
    if found is None:
        return Rule(STATISTICS, name, "ExpectColumnValuesToBeBetween", bounds)
    mostly = round(min(max(1 - threshold["max"], 0), 1), 12)  # 1 - 0.9 is not 0.1
    return Rule(found.table, found.column, found.kind, {**found.arguments, "mostly": mostly})


def _row_rule(name: str) -> Rule | None:
    """Return the rule that each row must meet for a share of rows that don't; None where it is no share of rows."""
    in_set, not_in_set = "ExpectColumnValuesToBeInSet", "ExpectColumnValuesToNotBeInSet"
    if name == "rejected_share":
        return Rule(SAMPLES, columns.REJECTED, in_set, {"value_set": [columns.FINE]})
    if name.startswith(REJECTED):
        return Rule(SAMPLES, columns.REJECTED, not_in_set, {"value_set": [name.removeprefix(REJECTED)]})
    if name.startswith(NOTE):
        regex = rf"\b{name.removeprefix(NOTE)}\b"
        return Rule(SAMPLES, columns.NOTES, "ExpectColumnValuesToNotMatchRegex", {"regex": regex})
    if name == DUPLICATES:
        return Rule(SAMPLES, columns.SAME_IMAGE, in_set, {"value_set": [""]})
    if name == "unread_shard_share":
        return Rule(SHARDS, columns.UNREAD, in_set, {"value_set": [columns.READ]})
    return None


def validate_set(
    folder: Path, thresholds: Mapping[str, Threshold] | None = None, setting: str = "thresholds"
) -> dict[str, Any]:
    """Judge an ingested set.

    Args:
        folder: what `data.ingest.ingest` wrote.
        thresholds: statistic or measure -> {min, max, mostly, severity}, either bound or both; DEFAULT_THRESHOLDS if None. Statistics are
            those of `statistics.summary_statistics`, measures those of `columns.MEASURES`. The severity is `stop` (if none is given) or
            `warn`.
        setting: where the thresholds stand in the parameters, for messages.

    Returns:
        `success`: no expectation that stops failed; `failures` and `warnings`, name -> a line, for those expectations of
        either severity that are not met; `examples`, name -> values that failed with their keys; `statistics`; `results`, Great
        Expectations' own JSON by table.

    Raises:
        UserError: what `statistics.check_thresholds` refuses.
    """
    thresholds = DEFAULT_THRESHOLDS if thresholds is None else thresholds
    check_thresholds(thresholds, setting)
    tables = _tables(folder, thresholds)
    results = _validate(_context(), setting, tables, thresholds)
    summary = read_json(folder / SUMMARY_FILE)
    statistics = _statistics(summary, thresholds)
    missed = {
        name: found for table, result in results.items() for name, found in _missed(result, tables[table]).items()
    }
    lines = {
        severity: {
            name: _failure(name, threshold, *missed[name], statistics, summary)
            for name, threshold in thresholds.items()
            if name in missed and threshold.get("severity", "stop") == severity
        }
        for severity in SEVERITY
    }
    return {
        "success": not lines["stop"],
        "failures": lines["stop"],
        "warnings": lines["warn"],
        "examples": {name: examples for name, (_, examples) in missed.items() if examples},
        "statistics": statistics,
        "results": results,
    }


def require_valid(name: str, validation: Mapping[str, Any], rejects: str | Path = "rejects.parquet") -> None:
    """Stop on a set that failed.

    Raises:
        UserError: naming the set, every expectation it doesn't meet, where to look and which keys to change, in one line.
    """
    failures = validation["failures"]
    if not failures:
        return
    remedies = [f"see {rejects} for the reasons"] if any(one.startswith(ABOUT_REJECTS) for one in failures) else []
    keys = [f"{name}.expect.{one}" for one in failures if one not in (*UNREAD_SHARES, DUPLICATES)]
    allowed = [f"{name}.expect.{one}.max=1" for one in failures if one in UNREAD_SHARES]
    remedies += [f"change {' and '.join(keys)}"] if keys else []
    if DUPLICATES in failures:
        where = f"rows of one image have one sha256 in {Path(rejects).with_name(MANIFEST_FILE)}"
        remedies.append(f"{where}; several captions an image are allowed by --params={name}.expect.{DUPLICATES}.max=1")
    remedies += [f"continue without the unread parts: --params={','.join(allowed)}"] if allowed else []
    raise UserError(name, "; ".join(failures.values()), ", or ".join(remedies))


def write_data_docs(target: Path, sets: Mapping[str, tuple[Path, Mapping[str, Threshold]]]) -> None:
    """Write Great Expectations' Data Docs: a site of pages (`index.html`) on each set's expectations and what was found.

    Args:
        target: an empty directory.
        sets: folder and (checked) thresholds by name.
    """
    context = _context()
    backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(target.resolve())}
    builder = {"class_name": "SiteBuilder", "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"}}
    context.add_data_docs_site("superbatch", {**builder, "store_backend": backend})
    for name, (folder, thresholds) in sets.items():
        _validate(context, name, _tables(folder, thresholds), thresholds, keys=KEYS_IN_DOCS)
    context.build_data_docs(["superbatch"])


def _tables(folder: Path, thresholds: Mapping[str, Threshold]) -> dict[str, pa.Table]:
    """Make the tables that the thresholds check, with only the columns needed."""
    rules = [rule_of(name, threshold) for name, threshold in thresholds.items()]
    wanted = {table: {rule.column for rule in rules if rule.table == table} for table in (SAMPLES, SHARDS, STATISTICS)}
    statistics = _statistics(read_json(folder / SUMMARY_FILE), thresholds)
    made = {
        SAMPLES: lambda: columns.entry_table(folder, sorted(wanted[SAMPLES])),
        SHARDS: lambda: columns.shard_table(folder),
        STATISTICS: lambda: pa.table({name: [value] for name, value in statistics.items()}),
    }
    return {table: made[table]() for table in made if wanted[table]}


def _statistics(summary: Mapping[str, Any], thresholds: Mapping[str, Threshold]) -> dict[str, float]:
    statistics = summary_statistics(summary)
    return statistics | {name: statistic_of(statistics, name) for name in thresholds if name not in columns.MEASURES}


def _context() -> Any:
    """Make a context that writes nothing to disk and sends no usage statistics."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def _validate(
    context: Any, name: str, tables: Mapping[str, pa.Table], thresholds: Mapping[str, Threshold], keys: int = 0
) -> dict[str, dict[str, Any]]:
    """Run the expectations on their tables; the context keeps suites and results for its Data Docs.

    Args:
        keys: tables of up to so many rows are judged with keys beside the values that fail.
    """
    from great_expectations import ExpectationSuite, ValidationDefinition

    source, found = context.data_sources.add_pandas(name), {}
    for part, table in tables.items():
        expectations = [_expectation(one, wanted, part) for one, wanted in thresholds.items()]
        kept = [expectation for expectation in expectations if expectation is not None]
        suite = context.suites.add(ExpectationSuite(f"{name}.{part}", expectations=kept))
        data = source.add_dataframe_asset(part).add_batch_definition_whole_dataframe("whole")
        definition = context.validation_definitions.add(
            ValidationDefinition(name=f"{name}.{part}", data=data, suite=suite)
        )
        with_keys = "key" in table.column_names and len(table) <= keys
        shown: dict[str, Any] = {"result_format": "SUMMARY", "partial_unexpected_count": SHOWN}
        if with_keys:
            shown |= {"result_format": "COMPLETE", "unexpected_index_column_names": ["key"]}
        frame = table if with_keys or part == STATISTICS else table.drop_columns(["key"])
        result: Any = definition.run(batch_parameters={"dataframe": frame.to_pandas()}, result_format=shown)
        found[part] = dict(result.to_json_dict())
    return found


def _expectation(name: str, threshold: Threshold, table: str) -> Any:
    """Make the expectation of a threshold; None if it checks another table."""
    from great_expectations.expectations import core
    from great_expectations.expectations.metadata_types import FailureSeverity

    rule = rule_of(name, threshold)
    if rule.table != table:
        return None
    severity = FailureSeverity(SEVERITY[threshold.get("severity", "stop")])
    return getattr(core, rule.kind)(column=rule.column, severity=severity, meta={"name": name}, **rule.arguments)


def _missed(result: Mapping[str, Any], table: pa.Table) -> dict[str, tuple[float, list[dict[str, Any]]]]:
    """Return the thresholds that a table doesn't meet: the share of its values that do, and some that don't."""
    missed = [entry for entry in result["results"] if not entry["success"]]
    return {
        entry["expectation_config"]["meta"]["name"]: (
            1 - (entry["result"].get("unexpected_percent_nonmissing") or 0) / 100,
            _examples(entry, table),
        )
        for entry in missed
    }


def _examples(entry: Mapping[str, Any], table: pa.Table) -> list[dict[str, Any]]:
    """List values that failed, with their keys; none for a statistic of the whole set."""
    result = entry["result"]
    rows = result.get("partial_unexpected_index_list") or []
    if "key" not in table.column_names or not rows:
        return []
    keys = table["key"].take(pa.array(rows, pa.int64())).to_pylist()
    return [{"key": key, "value": value} for key, value in zip(keys, result["partial_unexpected_list"], strict=True)]


def _failure(
    name: str,
    threshold: Threshold,
    met: float,
    examples: list[dict[str, Any]],
    statistics: Mapping[str, float],
    summary: Mapping[str, Any],
) -> str:
    """Say in one line which expectation failed and on what; for rejects also the remedy for the most common reason."""
    words = (("at least", "min"), ("at most", "max"))
    wanted = " and ".join(f"{word} {threshold[key]:g}" for word, key in words if threshold.get(key) is not None)
    if name in columns.MEASURES:
        wanted += f" in {threshold.get('mostly') or 1:.4g} of the samples"
        found = f"{met:.6g}"
    else:
        found = f"{statistics[name]:.6g}"
    details = [*_reasons(name, summary), *_told(examples[:EXAMPLES])]
    line = f"expected {name} to be {wanted}, found {found}"
    return f"{line} ({'; '.join(details)})" if details else line


def _reasons(name: str, summary: Mapping[str, Any]) -> list[str]:
    unread = name in UNREAD_SHARES
    reasons = summary["unread_shards_by_reason" if unread else "rejected_by_reason"]
    if not (unread or name.startswith("rejected_share")) or not reasons:
        return []
    first = name.partition(".")[2] or max(reasons, key=reasons.get)
    counts = (
        ", ".join(f"{code} {count:,}" for code, count in reasons.items())
        if unread
        else f"{first} {reasons.get(first, 0):,}"
    )
    return [f"{counts}: {REMEDIES[first]}"]


def _told(examples: list[dict[str, Any]]) -> list[str]:
    shown = [f"{one['key'] or '?'} ({one['value']})" for one in examples]
    return [f"such as {', '.join(shown)}"] if shown else []
