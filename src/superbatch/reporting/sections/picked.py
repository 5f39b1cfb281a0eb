"""What the runs picked: how pure, how easy for the reference, over how many concepts, and the same rows how often."""

from __future__ import annotations

from dataclasses import dataclass

from superbatch.reporting.parts import Table
from superbatch.reporting.report import Report
from superbatch.reporting.understanding import summary_cells

COLUMNS = (
    "run",
    "steps",
    "good pairs %",
    "reference percentile",
    "concepts",
    "clusters",
    "distinct rows",
    "times each",
    "never picked %",
)


@dataclass(frozen=True)
class Picked:
    """What the section shows, beside its figure.

    Attributes:
        runs: one a row, the main one first. telling: those of them that are as long as the first. left_out: how many more were found.
        clusters: whether the table has clusters of captions, where the true concepts are not known.
    """

    runs: Table
    telling: Table
    left_out: int
    clusters: bool


def picked(report: Report) -> Picked | None:
    """The runs on the main run's pool beside each other; None where none left picks, or the pool's embeddings are not there."""
    if not report.picked:
        return None
    cells = summary_cells(report.picked)
    cells = cells[[name for name in COLUMNS if name in cells]]
    telling = cells[[one.run.steps == report.picked[0].run.steps for one in report.picked]]
    candidates = sum(run.role != "reference" for run in report.sources.runs)
    return Picked(Table.of(cells), Table.of(telling), candidates - len(report.picked), "clusters" in cells)
