"""The report as one HTML file that needs nothing else: pictures and style are inside, and it runs no script."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from superbatch.artifacts.atomic import atomic_path
from superbatch.data.windows import smoothed
from superbatch.reporting import templating
from superbatch.reporting.findings import gains
from superbatch.reporting.lines import left_out
from superbatch.reporting.pictures import pictures_of
from superbatch.reporting.report import Report
from superbatch.reporting.report_figures import COSTS, has_schedules
from superbatch.reporting.runs import Run
from superbatch.reporting.sections.changed import changed
from superbatch.reporting.sections.chosen import chosen
from superbatch.reporting.sections.cost import cost
from superbatch.reporting.sections.found import found
from superbatch.reporting.sections.gained import gained
from superbatch.reporting.sections.health import health
from superbatch.reporting.sections.picked import picked
from superbatch.reporting.sections.reference import reference
from superbatch.reporting.sections.reproduce import reproduce
from superbatch.reporting.tiles import tiles
from superbatch.reporting.trust import checks
from superbatch.reporting.verdict import verdict


def write_page(report: Report, path: Path) -> None:
    """Write the page; nobody ever sees half of it."""
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(render(report), encoding="utf-8")


def render(report: Report) -> str:
    """Render a report to HTML; `templates/report.html.j2` has the order of the questions and their words."""
    pictures = pictures_of(report)
    return templating.render(
        "report.html.j2",
        title=report.sources.title,
        run=report.main.name,
        of_images=report.of_images,
        stands_alone=report.stands_alone,
        plan=_plan(report.main),
        verdict=verdict(report),
        tiles=tiles(report),
        checks=checks(report),
        lines_left_out=left_out(report),
        schedules=has_schedules(report),
        banded=bool((report.long_curves["seeds"] > 1).any()),
        axes=[(axis, name) for axis, name in COSTS.items() if f"cost_{axis}" in pictures],
        pictures=pictures,
        gained=gained(report, gains(report)),
        reference=reference(report),
        found=found(report),
        cost=cost(report),
        chosen=chosen(report),
        picked=picked(report),
        changed=changed(report),
        health=health(report.main),
        reproduce=reproduce(report),
    )


def _sizes(run: Run) -> str:
    """B and f; of a run that changed its rule, of both parts; of one whose f followed the learner, the largest and the last."""
    if run.shares:
        last, share = run.looked_at(np.array([run.steps - 1]))[0], smoothed(run.shares)[-1]
        found = f"{100 * share:.0f} % of the pool's pairs looked right to the learner"
        most = f"at most B = {run.super_batch_size:,} (f = {run.filter_ratio:g})"
        if run.fell is not None:
            return f"{most}; when captions were found to be labels, {found}: f fell from step {run.fell.start:,} on, and all pairs were taken from step {run.fell.stop:,} on"
        size = f"{most}, {last:,} (f = {1 - run.batch_size / last:.2f}) at the end, when {found}"
        then = "all pairs were taken, since captions are labels" if run.takes_all else "the learner chose for itself"
        return size if run.new_kind is None else f"{size}; from step {run.new_kind:,} on {then}"
    if run.selection.then is None:
        return f"B = {run.super_batch_size:,} (f = {run.filter_ratio:g})"
    order, parts = run.order(run.super_batch_size), run.stretches
    said = [
        f"B = {order.size(steps[0]):,} ({run.own_score or rule.criterion}, f = {rule.filter_ratio:g})"
        for steps, rule in parts
    ]
    return f", from step {parts[-1].steps[0]:,} on of ".join(said)


def _plan(run: Run) -> list[str]:
    """Steps, sizes and seed in words."""
    facts = [f"{run.steps:,} steps of b = {run.batch_size:,}"] if run.steps else []
    if run.super_batch_size > run.batch_size:
        facts.append(f"out of super-batches of {_sizes(run)}")
    return [*facts, f"seed {run.seed}"]
