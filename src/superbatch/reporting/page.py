"""The report as one HTML file that needs nothing else: pictures and style are inside, and it runs no script."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from superbatch.files import atomic_path
from superbatch.reporting import html, provenance
from superbatch.reporting.accounts import TIME_PARTS, time_split
from superbatch.reporting.cells import target_table
from superbatch.reporting.cost import cost_table
from superbatch.reporting.figures import svg_uri
from superbatch.reporting.findings import cautions, gains
from superbatch.reporting.html import Pictures
from superbatch.reporting.report import Report
from superbatch.reporting.report_figures import page_figures
from superbatch.reporting.runs import Run
from superbatch.reporting.shelves import shelf
from superbatch.reporting.texts import ACCOUNTS, ALT, CAPTION
from superbatch.reporting.theme import DARK, LIGHT
from superbatch.reporting.tiles import tiles

COST_COLUMNS = {
    "FLOPs",
    "FLOPs charged",
    "to target: steps",
    "to target: FLOPs (paper)",
    "to target: FLOPs (charged)",
    "to target: seconds",
}
SHORT_TABLE = 12  # rows; longer ones are folded
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
    light, dark = page_figures(report, LIGHT), page_figures(report, DARK)
    pictures = {name: (svg_uri(light[name]), svg_uri(dark[name])) for name in light}
    sections = [
        _section("gained", "", _gained(report, pictures)),
        _section(
            "cost",
            "Every number is of complete runs; what selection itself took is in the time.",
            _cost(report, pictures),
        ),
        _section("chosen", _of_gallery(report), _chosen(report)),
        _section("changed", "", _changed(report, pictures)),
        _section("health", "", _health(report, pictures)),
        _section("reproduce", "", _reproduce(report)),
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


def _gained(report: Report, pictures: Pictures) -> str:
    one_length = "Each method was run at one length only: accuracy against length takes several complete schedules."
    no_curve = "No run was evaluated while it trained: there is no curve to draw."
    brackets = (
        "Brackets after a value: 95 % bootstrap interval over seeds; over images: 95 % interval of one seed's value over "
        "the test images. Points against uniform after as many steps. Of several configurations of a method, the one that "
        "validation prefers is shown."
    )
    parts = [
        html.bullets(gains(report)[1:]),
        _plot(pictures, "accuracy", no_curve),
        _plot(pictures, "schedules", one_length),
        _results(report),
        html.note(brackets),
    ]
    return "".join(parts)


def _results(report: Report) -> str:
    """The table of results: whole if it is short, else the rows that matter with the rest folded away."""
    cells = report.cells
    if cells.empty:
        return html.missing("No finished runs to put in a table.")
    cells = cells[[name for name in cells if name not in COST_COLUMNS]]
    own = set(np.flatnonzero((cells["method"] == report.label).to_numpy()).tolist())
    caption = "Final values of complete runs"
    if len(cells) <= SHORT_TABLE:
        return html.table(cells, caption, strong=own)
    telling = cells[report.telling_rows().to_numpy()]
    bold = set(np.flatnonzero((telling["method"] == report.label).to_numpy()).tolist())
    rest = html.folded(f"All {len(cells)} rows", html.table(cells, caption, strong=own))
    return html.table(telling, caption, strong=bold) + rest


def _cost(report: Report, pictures: Pictures) -> str:
    targets = target_table(report.comparison)
    what = "The baseline's cost over the method's, by shortest complete schedules: above 1×, the method is cheaper."
    parts = [
        "<h3>The whole run</h3>",
        html.table(cost_table(report), "", "The run kept no account of its cost."),
        html.note(ACCOUNTS),
        "<h3>To target</h3>",
        html.table(targets, what, "Nothing to compare: no method stands beside uniform."),
        html.note("≥ and ≤: the shortest schedule that was run already reached the target, so less may do.")
        if len(targets)
        else "",
        "<h3>Along the way</h3>",
        _plot(pictures, "cost", "No curve to draw against cost."),
    ]
    return "".join(parts)


def _of_gallery(report: Report) -> str:
    if not report.shelves:
        return ""
    known = " The last word says what the simulated pair really is." if report.kinds is not None else ""
    return f"Image, caption, the score it was judged by ({_criterion(report.main)}), and the step.{known}"


def _criterion(run: Run) -> str:
    meanings = {
        "learnability": "learnability: the learner's loss minus the reference's, high for what is still to be learned and can be",
        "easy_reference": "minus the reference's loss, high for what the reference finds easy",
        "hard_learner": "the learner's loss, high for what the learner finds hard",
    }
    return meanings.get(str(run.setting("selection", "criterion", "learnability")), "as the method defines it")


def _chosen(report: Report) -> str:
    if not report.shelves:
        return html.missing(
            f"{report.main.name} trains on all it draws, or kept no picks: there is nothing to show here."
        )
    return "".join(map(shelf, report.shelves))


def _changed(report: Report, pictures: Pictures) -> str:
    if report.main.picks is None or report.main.role == "uniform":
        return html.missing("Nothing was selected in this run, so no picks could change.")
    if report.kind_totals is None:
        kinds = html.missing(
            "The truth about this pool's pairs is not known, so the purity of the picks can't be shown."
        )
    else:
        kinds = _plot(pictures, "purity") + html.table(
            _kind_cells(report.kind_totals), "Kinds of pairs over the whole run"
        )
    scores = "The run kept no ledger: no scores over time." if report.main.ledger is None else ""
    beside = "The pool's embeddings by this run's reference are not at hand: how the picks stand to it can't be shown."
    return kinds + _plot(pictures, "scores", scores) + _standing(report) + _plot(pictures, "standing", beside)


def _standing(report: Report) -> str:
    found = report.standing
    if found is None:
        return ""
    of_pool = f"{100 * found.share:.3g} % of the pool that the reference scores highest"
    line = f"{100 * found.favourites:.0f} % of all picks are among the {of_pool}; chance would give {100 * found.share:.3g} %."
    return f"<p>{escape(line)}</p>"


def _kind_cells(kinds: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "kind of pair": kinds["kind"].str.replace("_", " "),
            "in the pool %": kinds["pool"].map(lambda v: f"{100 * v:.1f}"),
            "among the picks %": kinds["picked"].map(lambda v: f"{100 * v:.1f}"),
            "times its share": kinds["lift"].map(lambda v: f"{v:.2f}×" if pd.notna(v) else "–"),
        }
    )


def _health(report: Report, pictures: Pictures) -> str:
    if report.main.ledger is None:
        return html.missing("The run kept no ledger: loss, gradient norm and time can't be shown.")
    lines = [_time_line(report.main), *_steady(report.main)]
    return html.bullets(lines) + _plot(pictures, "health") + _plot(pictures, "time")


def _time_line(run: Run) -> str:
    split = time_split(run.ledger)
    whole = sum(split.values()) or 1.0
    parts = ", ".join(
        f"{100 * split[part] / whole:.0f} % {part.removeprefix('seconds_')}" for part in TIME_PARTS if part in split
    )
    waited = 100 * split.get("seconds_data", 0.0) / whole
    return (
        f"A step took {1000 * whole:.1f} ms on average: {parts}. The device waited for data {waited:.0f} % of the time."
    )


def _steady(run: Run) -> list[str]:
    """Whether the loss stayed finite, where it ended, and how often the gradient was clipped."""
    ledger = run.ledger
    assert ledger is not None
    bad = int((~np.isfinite(ledger[["loss", "gradient_norm"]])).any(axis=1).sum())
    last = ledger.iloc[-1]
    lines = [
        f"The loss ended at {last['loss']:.4g}, the gradient norm at {last['gradient_norm']:.3g}; "
        + (f"{bad:,} of {len(ledger):,} steps were NOT finite." if bad else "all steps were finite.")
    ]
    limit = run.setting("training", "optimizer", {}).get("gradient_clip")
    if limit:
        clipped = 100 * float((ledger["gradient_norm"] > limit).mean())
        lines.append(f"The gradient was clipped (at a norm of {limit:g}) in {clipped:.0f} % of the steps.")
    return lines


def _reproduce(report: Report) -> str:
    run = report.main
    command = f"<pre>{escape(report.sources.command)}</pre>" if report.sources.command else ""
    same = html.note(
        "On the same machine type, with as many threads and the same versions, a run is bit-identical: compare the digests."
    )
    made = html.table(provenance.runs_table(report), "All runs shown, digests shortened")
    many = len(report.sources.runs) > SHORT_TABLE
    made = html.folded(f"All {len(report.sources.runs)} runs shown", made) if many else made
    settings = escape(json.dumps({"settings": run.settings, "plan": run.plan}, indent=2, default=str))
    return (
        command
        + html.facts(provenance.facts(report))
        + same
        + made
        + html.folded("Settings and plan", f"<pre>{settings}</pre>")
    )


def _plot(pictures: Pictures, name: str, otherwise: str = "") -> str:
    return html.picture(pictures, name, ALT[name], CAPTION[name], otherwise)
