"""The few numbers to remember, at the head of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from superbatch.reporting.findings import at_equal_steps
from superbatch.reporting.intervals import basis
from superbatch.reporting.numbers import percent, points

if TYPE_CHECKING:
    from superbatch.reporting.report import Report
    from superbatch.reporting.targets import ToTarget

Tile = tuple[str, str]


def tiles(report: Report) -> list[Tile]:
    """Number and what it is, for each; those that can't be known are left out."""
    gained = [] if report.at_chance else [_gain(report, "uniform"), _gain(report, "simple"), *_targets(report)]
    parts = [_final(report), *gained, _clean(report)]
    return [(value, what.replace(" %", "\N{NO-BREAK SPACE}%")) for value, what in filter(None, parts)]


def _final(report: Report) -> Tile | None:
    row = report.finals[report.finals["run"] == report.main.name].iloc[0]
    if pd.isna(row["value"]):
        return None
    bounds = f" (95 % over images: {percent(row['value_low'])} to {percent(row['value_high'])})"
    return (
        f"{percent(row['value'])} %",
        f"{report.title}, {row['split']}{bounds if pd.notna(row['value_low']) else ''}",
    )


def _gain(report: Report, role: str) -> Tile | None:
    found = at_equal_steps(report, role)
    if found is None:
        return None
    rival = found.rival if role == "uniform" else f"{found.rival}, the best simple alternative,"
    held = found.difference
    between = f" (95 %: {points(held.low)} to {points(held.high)}; {basis(held.n, held.over)})" if held.over else ""
    what = f"points over {rival} after as many steps{between}"
    return points(found.gain).replace("-", "\N{MINUS SIGN}"), what.replace(" -", " \N{MINUS SIGN}")


def _targets(report: Report) -> list[Tile]:
    own, simple = report.outcome(report.comparison.uniform), report.outcome(report.comparison.simple)
    found = [
        _ratio(outcome, f"in steps to the target of {outcome.horizon.label}")
        for outcome in (own, simple)
        if outcome is not None
    ]
    if own is not None and own.low > 0:
        charged = f"{own.at_least}{own.ratios['flops_charged']:.2g}×"
        found.append((charged, f"in FLOPs to that of {own.horizon.label}, everything charged (above 1×: cheaper)"))
    return found


def _ratio(outcome: ToTarget, what: str) -> Tile:
    alone = " (no shorter schedule was run)" if outcome.at_least else ""
    shown = (
        f"{outcome.at_least}{outcome.ratio:.3g}×"
        if outcome.low > 0
        else "not sure"
        if outcome.high > 0
        else "not reached"
    )
    bounds = f" (95 %: {outcome.bounds()}; {basis(outcome.n, outcome.over)})" if outcome.over else ""
    return shown, what + (bounds or alone)


def _clean(report: Report) -> Tile | None:
    if report.kind_totals is None or report.main.role != "selecting":
        return None
    clean = report.kind_totals.set_index("kind").reindex(["clean"]).fillna(0.0).iloc[0]
    return f"{100 * clean['picked']:.0f} %", f"of the picks are clean ({100 * clean['pool']:.0f} % of the pool)"
