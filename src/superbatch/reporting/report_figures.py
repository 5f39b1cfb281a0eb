"""Which figures a report has: those of its page, as far as its runs allow, and the few that are always written as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from superbatch.reporting.figures import (
    accuracy_figure,
    check_figure,
    choices_figure,
    cost_figure,
    flops_figure,
    health_figure,
    purity_figure,
    schedule_figure,
    scores_figure,
    sentence_figure,
    standing_figure,
    time_figure,
)
from superbatch.reporting.names import label_of
from superbatch.reporting.purity import repeats
from superbatch.reporting.theme import LIGHT, Theme
from superbatch.reporting.understanding import shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from superbatch.reporting.report import Report

FILES = ("steps", "samples", "flops", "seconds")  # accuracy by each of these


def page_figures(report: Report, theme: Theme = LIGHT) -> dict[str, Figure]:
    """All figures that the runs allow, by name: accuracy, cost, schedules, check, picked, purity, scores, standing, health, time."""
    parts = (_of_comparison, _of_reference, _of_choices, _of_picks, _of_main_run)
    return {name: figure for part in parts for name, figure in part(report, theme).items()}


def _of_reference(report: Report, theme: Theme) -> dict[str, Figure]:
    return {} if report.reference_check is None else {"check": check_figure(report.reference_check, theme)}


def _of_comparison(report: Report, theme: Theme) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    if len(report.long_curves):
        found["accuracy"] = accuracy_figure(report.long_curves, theme=theme, title=report.title)
        found["cost"] = cost_figure(report.long_curves, theme, report.title)
    compared = report.tuned[report.tuned["role"] != "reference"]
    if len(compared) and compared.groupby(["method", "f"])["steps"].nunique().max() > 1:
        found["schedules"] = schedule_figure(
            report.with_own_reference(report.tuned), report.comparison, theme, report.title
        )
    return found


def _of_choices(report: Report, theme: Theme) -> dict[str, Figure]:
    """The runs as long as the one that comes first, by the two measures that tell most."""
    runs = shown([one for one in report.picked if one.run.steps == report.picked[0].run.steps])
    if not runs:
        return {}
    lines = {label_of(one.run.method, one.run.filter_ratio): (one.run.role, one.parts) for one in runs}
    return {"picked": choices_figure(lines, runs[0].chance_parts, theme, most=2)}


def _of_picks(report: Report, theme: Theme) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    run = report.main
    if report.purity is not None and run.role != "uniform":
        found["purity"] = purity_figure(report.purity, theme)
    if run.ledger is not None and run.picks is not None and run.role == "selecting":
        found["scores"] = scores_figure(run, repeats(run.picks), theme)
    if run.ledger is not None and report.standing is not None:
        found["standing"] = standing_figure(report.standing, theme)
    return found


def _of_main_run(report: Report, theme: Theme) -> dict[str, Figure]:
    if report.main.ledger is None:
        return {}
    return {"health": health_figure(report.main, theme), "time": time_figure(report.beside(), theme)}


def file_figures(report: Report, theme: Theme = LIGHT) -> dict[str, Figure]:
    """The figures that every report has: accuracy by steps, samples, FLOPs, seconds, and purity of the picks.

    One that can't be drawn holds a sentence instead, so that a catalog always gets all of them.
    """
    return {f"accuracy_by_{name}": _accuracy_by(name, report, theme) for name in FILES} | {
        "purity": _purity_or_why_not(report, theme)
    }


def _accuracy_by(name: str, report: Report, theme: Theme) -> Figure:
    points = report.long_curves
    if points.empty:
        return sentence_figure("No run was evaluated while it trained.", theme)
    if name == "flops":
        return flops_figure(points, theme, report.title)
    return accuracy_figure(points, "step" if name == "steps" else name, theme, report.title)


def _purity_or_why_not(report: Report, theme: Theme) -> Figure:
    if report.purity is None:
        why = "no picks" if report.main.picks is None else "no truth about the pool"
        return sentence_figure(f"{report.main.name}: {why}, so no purity of picks.", theme)
    return purity_figure(report.purity, theme)
