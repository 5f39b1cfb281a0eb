"""What it cost: of the whole run, to target, along the way."""

from __future__ import annotations

from dataclasses import dataclass

from superbatch.reporting.cells import target_table
from superbatch.reporting.cost import TOWERS, cost_table, sentence, split_table
from superbatch.reporting.parts import Table
from superbatch.reporting.report import Report


@dataclass(frozen=True)
class Cost:
    """What the section shows, beside its figure: the main run's cost beside uniform's, the same by tower, what it was spent on, and ratios to target."""

    sentence: str
    whole: Table
    towers: Table
    split: Table
    targets: Table


def cost(report: Report) -> Cost:
    """The main run's cost beside uniform's, what it was spent on, and ratios to target."""
    whole = cost_table(report)
    of_towers = whole["cost"].isin(TOWERS) if len(whole) else []
    tables = (
        whole[[not one for one in of_towers]],
        whole[of_towers],
        split_table(report.main),
        target_table(report.comparison),
    )
    return Cost(sentence(report), *map(Table.of, tables))
