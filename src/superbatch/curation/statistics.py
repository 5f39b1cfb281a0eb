"""Statistics of a set, measures of its samples, and the thresholds on both; without any framework."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from superbatch.curation.columns import MEASURES
from superbatch.data import decode, texts
from superbatch.data.reasons import REASONS
from superbatch.data.scripts import known_scripts
from superbatch.errors import UserError

Threshold = Mapping[str, Any]  # min, max, or both; severity; mostly, for a measure
COUNTS = ("shards", "bytes", "members", "rows", "rejected", "captions", "distinct_captions", "labels")
UNREAD_SHARES = ("unread_shard_share", "unread_byte_share")
SHARES = ("rejected_share", *UNREAD_SHARES, "duplicate_image_share", "distinct_caption_share")
DISTRIBUTIONS = ("caption_characters", "shorter_side")
QUANTILE_NAMES = ("min", "p05", "median", "p95", "max")  # at data.ingest.QUANTILES
REJECTED, NOTE, SCRIPT = "rejected_share.", "note_share.", "script_share."
NOTES = (*decode.NOTES, *texts.NOTES)
BOUNDS = ("min", "max")
SEVERITIES = ("stop", "warn")
DEFAULT_THRESHOLDS: dict[str, Threshold] = {
    "rows": {"min": 1},
    "rejected_share": {"max": 0.2},
    "unread_shard_share": {"max": 0},
    "unread_byte_share": {"max": 0},
    "duplicate_image_share": {"max": 0.5},
    "distinct_captions": {"min": 2},
    "caption_characters": {"min": 2, "max": 2_000, "mostly": 0.5},
    "shorter_side": {"min": 16, "mostly": 0.5},
}


def summary_statistics(summary: Mapping[str, Any]) -> dict[str, float]:
    """Flatten a summary into the statistics that thresholds name: `rows`, `rejected_share.image_corrupt`,
    `shorter_side.p05`, `script_share.latin`, ...

    What a set has none of (captions of a classification set without .txt) is NaN, and an expectation on it counts as
    met.
    """
    statistics = {name: float(summary[name]) for name in COUNTS + SHARES}
    for name in DISTRIBUTIONS:
        values = summary[name] or [math.nan] * len(QUANTILE_NAMES)
        statistics |= {f"{name}.{part}": float(value) for part, value in zip(QUANTILE_NAMES, values, strict=True)}
    if not summary["captions"]:
        statistics |= {"distinct_captions": math.nan, "distinct_caption_share": math.nan}
    entries = max(summary["rows"] + summary["rejected"], 1)
    statistics |= {f"{REJECTED}{code}": summary["rejected_by_reason"].get(code, 0) / entries for code in REASONS}
    statistics |= {f"{NOTE}{note}": summary["notes"].get(note, 0) / max(summary["rows"], 1) for note in NOTES}
    return statistics | {f"{SCRIPT}{script}": share for script, share in summary["scripts"].items()}


def statistic_of(statistics: Mapping[str, float], name: str) -> float:
    """Return a statistic; a script that doesn't occur has the share 0, or NaN where there are no letters at all."""
    if name in statistics:
        return statistics[name]
    return 0.0 if any(other.startswith(SCRIPT) for other in statistics) else math.nan


def known_statistics() -> Iterator[str]:
    """Name all statistics but the shares of scripts."""
    yield from COUNTS + SHARES
    yield from (f"{name}.{part}" for name in DISTRIBUTIONS for part in QUANTILE_NAMES)
    yield from (f"{REJECTED}{code}" for code in REASONS)
    yield from (f"{NOTE}{note}" for note in NOTES)


def with_defaults(expect: Mapping[str, Threshold | None]) -> dict[str, Threshold]:
    """Lay a set's own thresholds over the defaults.

    A threshold with a bound replaces the default's, one with a severity alone keeps its bounds, None drops it.
    """
    own = {
        name: given if given is None or set(given) & set(BOUNDS) else {**DEFAULT_THRESHOLDS.get(name, {}), **given}
        for name, given in expect.items()
    }
    return {name: threshold for name, threshold in {**DEFAULT_THRESHOLDS, **own}.items() if threshold is not None}


def check_thresholds(thresholds: Mapping[str, Threshold], setting: str) -> None:
    """Check thresholds before anything is read.

    Args:
        thresholds: by statistic or measure.
        setting: where they stand in the parameters, for messages.

    Raises:
        UserError: a statistic or measure that there isn't; `mostly` on a statistic, or out of range; bounds other than min, max or both, or that contradict each other; another severity
            than stop and warn.
    """
    for name, threshold in thresholds.items():
        _check_name(f"{setting}.{name}", name)
        _check_bounds(f"{setting}.{name}", threshold)
        if name not in MEASURES and threshold.get("mostly") is not None:
            remedy = f"mostly is for what each sample has: {', '.join(MEASURES)}"
            raise UserError(f"{setting}.{name}.mostly", "a statistic of the whole set is met or not", remedy)


def _check_name(where: str, name: str) -> None:
    if name in {*MEASURES, *known_statistics()}:
        return
    if not name.startswith(SCRIPT):
        names = ", ".join([*MEASURES, *(one for one in known_statistics() if not one.startswith((REJECTED, NOTE)))])
        remedy = f"there are {names}, {REJECTED}<reason code>, {NOTE}<note> and {SCRIPT}<script>"
        raise UserError(where, "the set has no such statistic", remedy)
    if name.removeprefix(SCRIPT) not in known_scripts():
        raise UserError(where, "Unicode knows no such script", "write latin, cyrillic, greek, arabic, cjk, hangul, ...")


def _check_bounds(where: str, threshold: Threshold) -> None:
    bounds = {name: threshold[name] for name in BOUNDS if threshold.get(name) is not None}
    given = set(threshold) - {"severity", "mostly"}
    if not bounds or not given <= set(BOUNDS):
        raise UserError(where, f"the bounds are {sorted(given)}", "give min, max or both")
    if threshold.get("mostly") is not None and not 0 < threshold["mostly"] <= 1:
        raise UserError(
            where,
            f"mostly is {threshold['mostly']:g}",
            "give the share of samples that must meet it: over 0, at most 1",
        )
    if len(bounds) == 2 and bounds["min"] > bounds["max"]:
        raise UserError(where, f"min {bounds['min']:g} is over max {bounds['max']:g}", "no set can meet it")
    if threshold.get("severity", "stop") not in SEVERITIES:
        raise UserError(where, f"the severity is {threshold['severity']!r}", "use stop or warn")
