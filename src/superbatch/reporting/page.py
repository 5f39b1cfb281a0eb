"""The report as one HTML file that needs nothing else: pictures and style are inside, and it runs no script."""

from __future__ import annotations

from html import escape
from pathlib import Path

from superbatch.artifacts.atomic import atomic_path
from superbatch.reporting import html
from superbatch.reporting.findings import cautions, gains
from superbatch.reporting.pictures import pictures_of
from superbatch.reporting.report import Report
from superbatch.reporting.runs import Run
from superbatch.reporting.sections.changed import changed
from superbatch.reporting.sections.chosen import chosen, gallery_lead
from superbatch.reporting.sections.cost import cost
from superbatch.reporting.sections.gained import gained
from superbatch.reporting.sections.health import health
from superbatch.reporting.sections.reproduce import reproduce
from superbatch.reporting.tiles import tiles

QUESTIONS = {
    "gained": "What was gained",
    "cost": "At which cost",
    "chosen": "What was chosen",
    "changed": "How the picks changed",
    "health": "How healthy the run was",
    "reproduce": "How to reproduce it",
}


def write_page(report: Report, path: Path) -> None:
    """Write the page; nobody ever sees half of it."""
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(render(report), encoding="utf-8")


def render(report: Report) -> str:
    """Render a report to HTML, in the order of the questions a reader has."""
    pictures = pictures_of(report)
    sections = [
        _section("gained", "", gained(report, pictures)),
        _section(
            "cost",
            "Every number is of complete runs; what selection itself took is in the time.",
            cost(report, pictures),
        ),
        _section("chosen", gallery_lead(report), chosen(report)),
        _section("changed", "", changed(report, pictures)),
        _section("health", "", health(report, pictures)),
        _section("reproduce", "", reproduce(report)),
    ]
    title = f"{report.main.name} · {report.sources.title}"
    return html.document(title, _header(report), sections)


def _section(name: str, lead: str, content: str) -> str:
    return html.section(name, QUESTIONS[name], lead, content)


def _header(report: Report) -> str:
    first, *_ = [*gains(report), ""]
    parts = [
        f'<p class="eyebrow">{escape(report.sources.title)} report</p><h1>{escape(report.main.name)}</h1>',
        f'<p class="lede">{escape(", ".join(_plan(report.main)))}</p>',
        f'<p class="verdict">{escape(first)}</p>' if first else "",
        html.tiles(tiles(report)),
        _cautions(report),
        '<nav aria-label="Questions">',
        *(f'<a href="#{name}">{escape(title)}</a>' for name, title in QUESTIONS.items()),
        "</nav>",
    ]
    return "".join(parts)


def _plan(run: Run) -> list[str]:
    facts = [f"{run.steps:,} steps of b = {run.batch_size:,}"] if run.steps else []
    if run.super_batch_size > run.batch_size:
        facts.append(f"out of super-batches of B = {run.super_batch_size:,} (f = {run.filter_ratio:g})")
    if run.plan.get("rows"):
        facts.append(f"pool of {run.plan['rows']:,} rows")
    return [*facts, f"seed {run.seed}"]


def _cautions(report: Report) -> str:
    lines = cautions(report)
    return (
        f'<div class="cautions" role="note"><strong>Bear in mind</strong>{html.bullets(lines)}</div>' if lines else ""
    )
