"""Which figures a report has: those of its page, as far as its runs allow, and the few that are always written as files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from superbatch.reporting.baseline import uniform_of
from superbatch.reporting.figures import (
    accuracy_figure,
    check_figure,
    choices_figure,
    flops_figure,
    health_figure,
    kinds_figure,
    purity_figure,
    schedule_figure,
    scores_figure,
    sentence_figure,
    standing_figure,
    time_figure,
)
from superbatch.reporting.lines import lines_of
from superbatch.reporting.names import label_of
from superbatch.reporting.purity import repeats
from superbatch.reporting.theme import LIGHT, Theme
from superbatch.reporting.understanding import shown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from superbatch.reporting.report import Report
    from superbatch.reporting.runs import Run

    Draw = Callable[[Theme], Figure]

FILES = ("steps", "samples", "flops", "seconds")  # accuracy by each of these
COSTS = {"step": "steps", "flops_as_executed": "FLOPs", "flops_charged": "FLOPs charged", "seconds": "seconds"}
HEIGHT = 4.6  # inches, of the chart beside the verdict


def page_figures(report: Report) -> dict[str, Draw]:
    """What draws each of the figures that the runs allow, for a theme: head, cost_*, check, picked, kinds, purity, scores, standing, health, time."""
    parts = (_of_comparison, _of_reference, _of_choices, _of_picks, _of_main_run)
    return {name: draw for part in parts for name, draw in part(report).items()}


def _of_reference(report: Report) -> dict[str, Draw]:
    return {} if report.reference_check is None else {"check": partial(check_figure, report.reference_check)}


def _of_comparison(report: Report) -> dict[str, Draw]:
    found: dict[str, Draw] = {}
    points, title = curves_shown(report), report.title
    if len(points):
        for axis in COSTS:
            if points[axis].notna().any():
                found[f"cost_{axis}"] = partial(_curves, points, axis, title)
        uniform = str(next(iter(uniform_of(report.tuned)["method"]), ""))
        found["head"] = lambda theme: accuracy_figure(points, "step", theme, title, report.label, HEIGHT, uniform)
    if has_schedules(report):
        frame, compared = _schedules_shown(report), report.comparison
        found["head"] = lambda theme: schedule_figure(frame, compared, theme, title, report.label, HEIGHT)
    return found


def _curves(points: pd.DataFrame, axis: str, title: str, theme: Theme) -> Figure:
    return accuracy_figure(points, axis, theme, title)


def has_schedules(report: Report) -> bool:
    """Whether a method that is shown has complete schedules of several lengths."""
    compared = _schedules_shown(report)
    compared = compared[compared["role"] != "reference"]
    return bool(len(compared) and compared.groupby(["method", "f"])["steps"].nunique().max() > 1)


def _schedules_shown(report: Report) -> pd.DataFrame:
    frame, labels = report.with_own_reference(report.tuned), set(lines_of(report))
    known = [label_of(m, f) in labels for m, f in zip(frame["method"], frame["f"], strict=True)]
    return frame[known]


def curves_shown(report: Report) -> pd.DataFrame:
    """The rows of `long_curves` that charts have lines for."""
    return report.long_curves[report.long_curves["label"].isin(lines_of(report))]


def _of_choices(report: Report) -> dict[str, Draw]:
    """The runs as long as the one that comes first, by the two measures that tell most."""
    runs = shown([one for one in report.picked if one.run.steps == report.picked[0].run.steps])
    labels, drawn = [label_of(one.run.method, one.run.filter_ratio) for one in runs], lines_of(report)
    lines = {
        label: (one.run.role, one.parts)
        for label, one in zip(labels, runs, strict=True)
        if label in drawn or one.run is report.main
    }
    if not lines:
        return {}
    return {"picked": lambda theme: choices_figure(lines, runs[0].chance_parts, theme, most=2)}


def _of_picks(report: Report) -> dict[str, Draw]:
    found: dict[str, Draw] = {}
    run = report.main
    if report.purity is not None and report.kind_totals is not None and run.role != "uniform":
        found["kinds"] = partial(kinds_figure, report.purity, report.kind_totals)
        found["purity"] = partial(purity_figure, report.purity)
    if run.ledger is not None and run.picks is not None and run.role == "selecting":
        found["scores"] = partial(scores_figure, run, repeats(run.picks))
    if run.ledger is not None and report.standing is not None:
        found["standing"] = partial(standing_figure, report.standing)
    return found


def _of_main_run(report: Report) -> dict[str, Draw]:
    if report.main.ledger is None:
        return {}
    return {"health": partial(health_figure, report.main), "time": partial(time_figure, timed(report))}


def timed(report: Report) -> list[Run]:
    """The runs whose time a step is shown: the main one, and one of each other method that charts have a line for."""
    drawn = lines_of(report)
    return [run for run in report.beside() if run is report.main or label_of(run.method, run.filter_ratio) in drawn]


def file_figures(report: Report, theme: Theme = LIGHT) -> dict[str, Figure]:
    """The figures that every report has: accuracy by steps, samples, FLOPs, seconds, and purity of the picks.

    One that can't be drawn holds a sentence instead, so that a catalog always gets all of them.
    """
    return {f"accuracy_by_{name}": _accuracy_by(name, report, theme) for name in FILES} | {
        "purity": _purity_or_why_not(report, theme)
    }


def _accuracy_by(name: str, report: Report, theme: Theme) -> Figure:
    points = curves_shown(report)
    if points.empty:
        return sentence_figure("No run was evaluated while it trained.", theme)
    if name == "flops":
        return flops_figure(points, theme, report.title)
    return accuracy_figure(points, "step" if name == "steps" else name, theme, report.title)


def _purity_or_why_not(report: Report, theme: Theme) -> Figure:
    if report.purity is None:
        why = "no truth about the pool" if not report.on_another_pool else "trained on another pool"
        why = "no picks" if report.main.picks is None else why
        return sentence_figure(f"{report.main.name}: {why}, so no purity of picks.", theme)
    return purity_figure(report.purity, theme)
