"""The report as one HTML file that needs nothing else: pictures and style are inside, and it runs no script."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from superbatch.files import atomic_path
from superbatch.reporting import tables
from superbatch.reporting.figures import TIME_PARTS, png_uri, time_split
from superbatch.reporting.gallery import Item, Shelf
from superbatch.reporting.report import Report
from superbatch.reporting.style import CSS
from superbatch.reporting.theme import DARK, LIGHT

Pictures = dict[str, tuple[str, str]]

ACCOUNTS = (
    "The paper's accounting re-uses the forward pass of the chosen samples; as executed, the scoring pass keeps no "
    "graph and the chosen are run forward again; everything charged adds training the reference, embedding the pool "
    "and what else was spent once."
)
COST_COLUMNS = {
    "FLOPs",
    "FLOPs charged",
    "to target: steps",
    "to target: FLOPs (paper)",
    "to target: FLOPs (charged)",
    "to target: seconds",
}
LONG_CELL = 24  # characters; longer cells may wrap
ALT = {
    "accuracy": "Accuracy against steps, one line a method",
    "cost": "Accuracy against samples, FLOPs in three accountings and seconds",
    "schedules": "Final accuracy of complete schedules against their length",
    "purity": "Share of each kind of pair among the picks and in the super-batches, over time",
    "scores": "Mean score of picks and super-batches, and the share of repeated picks, over time",
    "health": "Loss, gradient norm and learning rate over time",
    "time": "Milliseconds a step by part, one bar a run",
}


def write_page(report: Report, path: Path) -> None:
    """Write the page; nobody ever sees half of it."""
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(render(report), encoding="utf-8")


def render(report: Report) -> str:
    """Render a report to HTML, in the order of the questions a reader has."""
    light, dark = report.figures(LIGHT), report.figures(DARK)
    pictures = {name: (png_uri(light[name]), png_uri(dark[name])) for name in light}
    sections = [
        _section("gained", "What was gained", _gained(report, pictures)),
        _section("cost", "At which cost", _cost(report, pictures)),
        _section("chosen", "What was chosen", _chosen(report)),
        _section("changed", "How the picks changed", _changed(report, pictures)),
        _section("health", "How healthy the run was", _health(report, pictures)),
        _section("reproduce", "How to reproduce it", _reproduce(report)),
    ]
    title = f"{report.main.name} · {report.sources.title}"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    icon = '<link rel="icon" href="data:,">'  # or a browser asks the server for one
    body = f"<header>{_header(report)}</header><main>{''.join(sections)}</main>"
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}{icon}<style>{CSS}</style></head><body>{body}</body></html>\n'


def _section(name: str, title: str, content: str) -> str:
    return f'<section id="{name}"><h2>{escape(title)}</h2>{content}</section>'


def _header(report: Report) -> str:
    run = report.main
    facts = [f"{run.steps:,} steps of b = {run.batch_size:,}"] if run.steps else []
    if run.super_batch_size > run.batch_size:
        facts.append(f"out of super-batches of B = {run.super_batch_size:,} (f = {run.filter_ratio:g})")
    if run.plan.get("rows"):
        facts.append(f"pool of {run.plan['rows']:,} rows")
    facts.append(f"seed {run.seed}")
    tiles = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(what)}</span></div>' for value, what in _tiles(report)
    )
    title = f'<p class="eyebrow">{escape(report.sources.title)} report</p><h1>{escape(run.name)}</h1>'
    return f'{title}<p class="lede">{escape(", ".join(facts))}</p><div class="tiles">{tiles}</div>'


def _tiles(report: Report) -> list[tuple[str, str]]:
    """The few numbers to remember; those that can't be known are left out."""
    numbers = report.metrics()
    row = report.finals[report.finals["run"] == report.main.name].iloc[0]
    tiles = [(f"{100 * row['value']:.1f} %", f"{report.title}, {row['split']}")] if pd.notna(row["value"]) else []
    if "gain_at_equal_steps" in numbers:
        tiles.append((f"{100 * numbers['gain_at_equal_steps']:+.1f}", "points over uniform at equal steps"))
    for outcomes, name in (
        (report.comparison.uniform, "uniform"),
        (report.comparison.simple, "the best simple alternative"),
    ):
        outcome = report.outcome(outcomes)
        if outcome is not None:
            tiles.append(
                (
                    f"{outcome.at_least}{outcome.ratio:.3g}×" if outcome.steps else "not reached",
                    f"in steps to the target of {name}",
                )
            )
    outcome = report.outcome(report.comparison.uniform)
    if outcome is not None and outcome.steps:
        tiles.append(
            (
                f"{outcome.at_least}{outcome.ratios['flops_charged']:.2g}×",
                "in FLOPs to uniform's target, everything charged",
            )
        )
    if report.kind_totals is not None and report.main.role == "selecting":
        clean = report.kind_totals.set_index("kind").reindex(["clean"]).fillna(0.0).iloc[0]
        tiles.append(
            (f"{100 * clean['picked']:.0f} %", f"of the picks are clean ({100 * clean['pool']:.0f} % of the pool)")
        )
    return tiles


def _gained(report: Report, pictures: Pictures) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in report.sentences())
    parts = [f'<ul class="findings">{lines}</ul>']
    parts.append(_picture(pictures, "accuracy", "No run was evaluated while it trained: there is no curve to draw."))
    parts.append(
        _picture(
            pictures,
            "schedules",
            "Each method was run at one length only: accuracy against length takes several complete schedules.",
        )
    )
    parts.append(_results(report))
    parts.append(
        '<p class="note">Brackets: 95 % bootstrap interval over seeds. '
        "Methods with several configurations are shown with the one that validation prefers.</p>"
    )
    return "".join(parts)


def _results(report: Report) -> str:
    """The table of results: whole if it is short, else the rows that matter with the rest folded away."""
    cells = report.cells
    cells = cells[[name for name in cells if name not in COST_COLUMNS]]
    if len(cells) <= 12:
        return _table(cells, "No finished runs to put in a table.")
    folded = f"<details><summary>All {len(cells)} rows</summary>{_table(cells, '')}</details>"
    return _table(cells[report.telling_rows().to_numpy()], "") + folded


def _cost(report: Report, pictures: Pictures) -> str:
    totals = report.main.totals()
    names = {
        "samples": "samples trained",
        "samples_scored": "samples scored",
        "flops_paper": "FLOPs, the paper's accounting",
        "flops_as_executed": "FLOPs, as executed",
        "flops_charged": "FLOPs, everything charged",
        "seconds": "seconds of training",
    }
    cells = pd.DataFrame(
        [
            {"cost of " + report.main.name: what, "whole run": _amount(totals[key])}
            for key, what in names.items()
            if pd.notna(totals[key])
        ]
    )
    targets = _table(tables.target_table(report.comparison), "Nothing to compare: no method stands beside uniform.")
    return "".join(
        [
            _picture(pictures, "cost", "No curve to draw against cost."),
            "<h3>To target</h3>",
            "<p class=\"note\">The baseline's cost over the method's, by shortest complete schedules: "
            "above 1, the method is cheaper.</p>",
            targets,
            "<h3>The run itself</h3>",
            _table(cells, "The run kept no account of its cost."),
            f'<p class="note">{ACCOUNTS}</p>',
        ]
    )


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value < 1e7 else f"{value:.3e}"


def _chosen(report: Report) -> str:
    if not report.shelves:
        return _missing(f"{report.main.name} trains on all it draws, or kept no picks: there is nothing to show here.")
    return "".join(_shelf(shelf) for shelf in report.shelves)


def _shelf(shelf: Shelf) -> str:
    items = "".join(_item(item) for item in shelf.items)
    return f'<h3>{escape(shelf.title)}</h3><p class="note">{escape(shelf.what)}</p><div class="shelf">{items}</div>'


def _item(item: Item) -> str:
    picture = (
        f'<img src="{item.picture}" alt="{escape(item.caption)}">'
        if item.picture
        else '<div class="blank">no image</div>'
    )
    kind = (
        f' <em class="kind {"good" if item.kind == "clean" else "bad"}">{escape(item.kind.replace("_", " "))}</em>'
        if item.kind
        else ""
    )
    numbers = f"score {item.score:.3g} · step {item.step:,}"
    words = f"{escape(item.caption) or '(no caption)'}<small>{numbers}{kind}</small>"
    return f'<figure class="item">{picture}<figcaption>{words}</figcaption></figure>'


def _changed(report: Report, pictures: Pictures) -> str:
    if report.main.picks is None or report.main.role == "uniform":
        return _missing("Nothing was selected in this run, so no picks could change.")
    if report.kind_totals is None:
        kinds = _missing("The truth about this pool's pairs is not known, so the purity of the picks can't be shown.")
    else:
        kinds = _picture(pictures, "purity", "") + _table(_kind_cells(report.kind_totals), "")
    scores = "The run kept no ledger: no scores over time." if report.main.ledger is None else ""
    return kinds + _picture(pictures, "scores", scores)


def _kind_cells(kinds: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "kind of pair": kinds["kind"].str.replace("_", " "),
            "in the pool %": kinds["pool"].map(lambda v: f"{100 * v:.1f}"),
            "among the picks %": kinds["picked"].map(lambda v: f"{100 * v:.1f}"),
            "picked as often as at random": kinds["lift"].map(lambda v: f"{v:.2f}×" if pd.notna(v) else "–"),
        }
    )


def _health(report: Report, pictures: Pictures) -> str:
    if report.main.ledger is None:
        return _missing("The run kept no ledger: loss, gradient norm and time can't be shown.")
    split = time_split(report.main)
    whole = sum(split.values()) or 1.0
    parts = ", ".join(
        f"{100 * split.get(part, 0.0) / whole:.0f} % {part.removeprefix('seconds_')}" for part in TIME_PARTS
    )
    last = report.main.ledger.iloc[-1]
    ends = f"The loss ended at {last['loss']:.4g}, the gradient norm at {last['gradient_norm']:.3g}."
    line = f"A step took {1000 * whole:.1f} ms on average: {parts}. {ends}"
    return f"<p>{escape(line)}</p>" + _picture(pictures, "time", "") + _picture(pictures, "health", "")


def _reproduce(report: Report) -> str:
    run, record = report.main, report.main.record
    facts: dict[str, Any] = {
        "status": record.get("status"),
        "commit": record.get("commit"),
        "run hash": record.get("run_hash"),
        "seed": run.seed,
    }
    facts |= {"machine": record.get("machine"), "torch": record.get("torch"), "threads": record.get("threads")}
    facts |= {f"digest of {name}": value for name, value in (record.get("digests") or {}).items()}
    facts |= {f"fingerprint of {name}": value for name, value in report.sources.fingerprints.items()}
    rows = "".join(
        f"<tr><th>{escape(str(k))}</th><td><code>{escape(str(v))}</code></td></tr>"
        for k, v in facts.items()
        if v not in (None, "")
    )
    command = f"<pre>{escape(report.sources.command)}</pre>" if report.sources.command else ""
    settings = escape(json.dumps({"settings": run.settings, "plan": run.plan}, indent=2, default=str))
    folded = f"<details><summary>Settings and plan</summary><pre>{settings}</pre></details>"
    return f'{command}<table class="facts">{rows}</table>{folded}'


def _picture(pictures: Pictures, name: str, otherwise: str) -> str:
    if name not in pictures:
        return _missing(otherwise) if otherwise else ""
    light, dark = pictures[name]
    alt = escape(ALT[name])
    source = f'<source media="screen and (prefers-color-scheme: dark)" srcset="{dark}">'
    return f'<picture>{source}<img class="plot" src="{light}" alt="{alt}"></picture>'


def _table(cells: pd.DataFrame, otherwise: str) -> str:
    if cells.empty:
        return _missing(otherwise) if otherwise else ""
    head = "".join(f"<th>{escape(str(name))}</th>" for name in cells.columns)
    rows = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in cells.itertuples(index=False, name=None))
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cell(value: object) -> str:
    text = str(value)
    return f'<td class="long">{escape(text)}</td>' if len(text) > LONG_CELL else f"<td>{escape(text)}</td>"


def _missing(sentence: str) -> str:
    return f'<p class="missing">{escape(sentence)}</p>'
