"""At which cost: of the whole run, to target, along the way."""

from __future__ import annotations

from superbatch.reporting import html
from superbatch.reporting.cells import target_table
from superbatch.reporting.cost import cost_table
from superbatch.reporting.html import Pictures
from superbatch.reporting.pictures import plot
from superbatch.reporting.report import Report
from superbatch.reporting.texts import ACCOUNTS


def cost(report: Report, pictures: Pictures) -> str:
    """The main run's cost beside uniform's, ratios to target, curves against every cost."""
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
        plot(pictures, "cost", "No curve to draw against cost."),
    ]
    return "".join(parts)
