"""What was gained: accuracy along runs and of complete schedules, and the table of results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from superbatch.reporting.by_metric import by_metric, metric_cells, metric_note
from superbatch.reporting.lines import lines_of
from superbatch.reporting.parts import Table
from superbatch.reporting.report import Report

COST_COLUMNS = {
    "FLOPs",
    "FLOPs charged",
    "to target: steps",
    "to target: FLOPs (paper)",
    "to target: FLOPs (charged)",
    "to target: seconds",
}


@dataclass(frozen=True)
class Gained:
    """What the section shows, beside its figures.

    Attributes:
        lines: sentences.
        results: the table of results; telling: of a long one the rows that matter, of methods that charts have lines for.
        by_metric: the main method against uniform in every metric, without rows where there is no rival.
        about_metrics: what its intervals are.
    """

    lines: list[str]
    results: Table
    telling: Table
    by_metric: Table
    about_metrics: str


def gained(report: Report, lines: list[str]) -> Gained:
    """The table of results below sentences on it (`lines`), and the one by metric."""
    cells, rivalries = report.cells, by_metric(report)
    rivals = Table.of(metric_cells(rivalries)), metric_note(rivalries) if rivalries else ""
    if cells.empty:
        return Gained(lines, Table.of(cells), Table.of(cells), *rivals)
    cells = cells[[name for name in cells if name not in COST_COLUMNS]]
    telling = cells[report.telling_rows().to_numpy() & cells["method"].isin(lines_of(report)).to_numpy()]
    return Gained(lines, _results(cells, report.label), _results(telling, report.label), *rivals)


def _results(cells: pd.DataFrame, label: str) -> Table:
    """Make the rows of the main run's method stand out."""
    return Table.of(cells, strong=np.flatnonzero((cells["method"] == label).to_numpy()).tolist())
