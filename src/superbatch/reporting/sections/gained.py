"""What was gained: accuracy along runs and of complete schedules, and the table of results."""

from __future__ import annotations

import numpy as np

from superbatch.reporting import html
from superbatch.reporting.by_metric import by_metric, metric_cells, metric_note
from superbatch.reporting.findings import gains
from superbatch.reporting.html import Pictures
from superbatch.reporting.pictures import plot
from superbatch.reporting.report import Report

COST_COLUMNS = {
    "FLOPs",
    "FLOPs charged",
    "to target: steps",
    "to target: FLOPs (paper)",
    "to target: FLOPs (charged)",
    "to target: seconds",
}


def gained(report: Report, pictures: Pictures) -> str:
    """Sentences, curves and the table of results."""
    one_length = "Each method was run at one length only: accuracy against length takes several complete schedules."
    no_curve = "No run was evaluated while it trained: there is no curve to draw."
    brackets = (
        "Brackets after a value: 95 % interval over seeds (Student's t); over images: 95 % interval of one seed's value over "
        "the test images. Points against uniform after as many steps, by pairs of equal seeds; with one seed, over the test "
        "images. Of several configurations of a method, the one that validation prefers is shown."
    )
    parts = [
        html.bullets(gains(report)[1:]),
        plot(pictures, "accuracy", no_curve),
        plot(pictures, "schedules", one_length),
        _results(report),
        html.note(brackets),
        _by_metric(report),
    ]
    return "".join(parts)


def _by_metric(report: Report) -> str:
    """The main method against uniform in every metric; nothing without a rival."""
    rivalries = by_metric(report)
    if not rivalries:
        return ""
    return html.table(metric_cells(rivalries), "Against uniform after as many steps") + html.note(
        metric_note(rivalries)
    )


def _results(report: Report) -> str:
    """The table of results: whole if it is short, else the rows that matter with the rest folded away."""
    cells = report.cells
    if cells.empty:
        return html.missing("No finished runs to put in a table.")
    cells = cells[[name for name in cells if name not in COST_COLUMNS]]
    own = set(np.flatnonzero((cells["method"] == report.label).to_numpy()).tolist())
    caption = "Final values of complete runs"
    if len(cells) <= html.SHORT_TABLE:
        return html.table(cells, caption, strong=own)
    telling = cells[report.telling_rows().to_numpy()]
    bold = set(np.flatnonzero((telling["method"] == report.label).to_numpy()).tolist())
    rest = html.folded(f"All {len(cells)} rows", html.table(cells, caption, strong=own))
    return html.table(telling, caption, strong=bold) + rest
