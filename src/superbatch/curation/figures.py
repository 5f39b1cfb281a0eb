"""The figures that a set is judged by, and the thresholds on them: plain values, no framework."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from superbatch.data.reasons import REASONS
from superbatch.data.scripts import known_scripts
from superbatch.errors import UserError

Threshold = Mapping[str, Any]  # min, max, or both; severity
COUNTS = ("shards", "bytes", "members", "rows", "rejected", "captions", "distinct_captions", "labels")
SHARES = ("rejected_share", "duplicate_image_share", "distinct_caption_share")
DISTRIBUTIONS = ("caption_characters", "shorter_side")
QUANTILE_NAMES = ("min", "p05", "median", "p95", "max")  # at data.ingest.QUANTILES
SCRIPT = "script_share."
BOUNDS = ("min", "max")
SEVERITIES = ("stop", "warn")
DEFAULT_THRESHOLDS: dict[str, Threshold] = {
    "rows": {"min": 1},
    "rejected_share": {"max": 0.2},
    "duplicate_image_share": {"max": 0.5},
    "distinct_captions": {"min": 2},
    "caption_characters.median": {"min": 2, "max": 2_000},
    "shorter_side.median": {"min": 16},
}


def summary_figures(summary: Mapping[str, Any]) -> dict[str, float]:
    """Flatten a summary into the figures that thresholds name: `rows`, `rejected_share.image_corrupt`,
    `shorter_side.p05`, `script_share.latin`, ...

    What a set has none of (captions of a classification set without .txt) is NaN, and an expectation on it counts as
    met.
    """
    figures = {name: float(summary[name]) for name in COUNTS + SHARES}
    for name in DISTRIBUTIONS:
        values = summary[name] or [math.nan] * len(QUANTILE_NAMES)
        figures |= {f"{name}.{part}": float(value) for part, value in zip(QUANTILE_NAMES, values, strict=True)}
    if not summary["captions"]:
        figures |= {"distinct_captions": math.nan, "distinct_caption_share": math.nan}
    entries = max(summary["rows"] + summary["rejected"], 1)
    figures |= {f"rejected_share.{code}": summary["rejected_by_reason"].get(code, 0) / entries for code in REASONS}
    return figures | {f"{SCRIPT}{script}": share for script, share in summary["scripts"].items()}


def figure_of(figures: Mapping[str, float], name: str) -> float:
    """Return a figure; a script that doesn't occur has the share 0, or NaN where there are no letters at all."""
    if name in figures:
        return figures[name]
    return 0.0 if any(other.startswith(SCRIPT) for other in figures) else math.nan


def known_figures() -> Iterator[str]:
    """Name all figures but the shares of scripts."""
    yield from COUNTS + SHARES
    yield from (f"{name}.{part}" for name in DISTRIBUTIONS for part in QUANTILE_NAMES)
    yield from (f"rejected_share.{code}" for code in REASONS)


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
        thresholds: by figure.
        setting: where they stand in the parameters, for messages.

    Raises:
        UserError: a figure that there isn't; bounds other than min, max or both, or that contradict each other; another severity
            than stop and warn.
    """
    for name, threshold in thresholds.items():
        _check_name(f"{setting}.{name}", name)
        _check_bounds(f"{setting}.{name}", threshold)


def _check_name(where: str, name: str) -> None:
    known = set(known_figures())
    if name in known:
        return
    if not name.startswith(SCRIPT):
        names = ", ".join(figure for figure in known_figures() if not figure.startswith("rejected_share."))
        remedy = f"there are {names}, rejected_share.<reason code> and {SCRIPT}<script>"
        raise UserError(where, "the set has no such figure", remedy)
    if name.removeprefix(SCRIPT) not in known_scripts():
        what = "no letter has a Unicode name that begins with it"
        raise UserError(where, what, "write latin, cyrillic, greek, arabic, cjk, hangul, ...")


def _check_bounds(where: str, threshold: Threshold) -> None:
    bounds = {name: threshold[name] for name in BOUNDS if threshold.get(name) is not None}
    if not bounds or not set(threshold) <= {*BOUNDS, "severity"}:
        raise UserError(where, f"the bounds are {sorted(set(threshold) - {'severity'})}", "give min, max or both")
    if len(bounds) == 2 and bounds["min"] > bounds["max"]:
        raise UserError(where, f"min {bounds['min']:g} is over max {bounds['max']:g}", "no set can meet it")
    if threshold.get("severity", "stop") not in SEVERITIES:
        raise UserError(where, f"the severity is {threshold['severity']!r}", "use stop or warn")
