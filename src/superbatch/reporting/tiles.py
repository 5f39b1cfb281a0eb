"""The three numbers at the head of the page: accuracy, steps saved, FLOPs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from superbatch.reporting.cost import uniform_beside, whole
from superbatch.reporting.findings import at_equal_steps
from superbatch.reporting.intervals import basis
from superbatch.reporting.numbers import NONE, percent
from superbatch.reporting.verdict import speed_up

if TYPE_CHECKING:
    from superbatch.reporting.report import Report

Tile = tuple[str, str]


def tiles(report: Report) -> list[Tile]:
    """Number and what it is, for each; those that make no sense for the run are left out."""
    found = [_accuracy(report)]
    if not (report.at_chance or report.stands_alone or report.main.role in ("uniform", "reference")):
        found += [_steps(report), _flops(report)]
    return [(value, what.replace(" %", "\N{NO-BREAK SPACE}%")) for value, what in found]


def _accuracy(report: Report) -> Tile:
    final, beside = report.final, at_equal_steps(report, "uniform")
    if final.mean != final.mean:
        return NONE, f"{report.title}: the run was not evaluated"
    uniform = "" if beside is None else f", uniform {percent(beside.other)} %"
    bounds = (
        f" (95 %: {percent(final.low)} to {percent(final.high)}; {basis(final.n, final.over)})" if final.over else ""
    )
    return f"{percent(final.mean)} %", f"{report.title} on {final.split}{uniform}{bounds}"


def _steps(report: Report) -> Tile:
    found = report.outcome(report.comparison.uniform)
    if found is None:
        return NONE, "steps saved: there is no uniform run to compare with"
    goal = f"uniform's {percent(found.horizon.target)} %"
    bounds = f" (95 %: {found.bounds()}; {basis(found.n, found.over)})" if found.over else ""
    if found.steps is None or found.low == 0:
        return ("not reached" if found.high == 0 else "not certain"), f"with fewer steps: {goal}{bounds}"
    if found.ratio > 1:
        return f"{found.at_least}{found.ratio:.3g}×", f"fewer steps to {goal}{bounds}"
    if found.at_least:
        return NONE, "steps saved: no shorter run was tried"
    return f"{1 / found.ratio:.3g}×", f"uniform's steps to {goal}{bounds}"


def _flops(report: Report) -> Tile:
    included = "reference, embedding and scoring included"
    saved = speed_up(report)
    if saved is not None:
        return f"{1 / saved.ratios['flops_charged']:.2g}×", f"uniform's FLOPs to the same accuracy, {included}"
    rival = uniform_beside(report)
    if rival is None:
        return NONE, "FLOPs against uniform's: there is no uniform run of as many steps"
    times = whole(report.main)["flops_charged"] / whole(rival)["flops_charged"]
    shown = f"{times:.2g}×" if times == times else NONE
    return shown, f"uniform's FLOPs for as many steps, {included}"
