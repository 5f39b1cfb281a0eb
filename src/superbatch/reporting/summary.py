"""A report without pictures: the end of a run on the console, and flat numbers for a metrics file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from superbatch.reporting.cells import NOT_ON_CONSOLE, to_text
from superbatch.reporting.findings import at_equal_steps, sentences

if TYPE_CHECKING:
    from superbatch.reporting.report import Report

RIVALS = {  # by role: the names of its final value and of the gain over it
    "uniform": ("final_uniform", "gain_at_equal_steps"),
    "simple": ("final_best_simple", "gain_at_equal_steps_best_simple"),
}


def console_text(report: Report) -> str:
    """The table of results, as far as a console is wide, then what it means."""
    cells = report.cells
    kept = [name for name in cells if name not in NOT_ON_CONSOLE]
    return "\n".join([to_text(cells[kept]), "", *sentences(report)])


def metrics(report: Report) -> dict[str, float]:
    """Flat numbers for a metrics file: final value, gains, figures to target, shares of favourite and clean picks."""
    found = dict(report.comparison.figures())
    own = report.finals.loc[report.finals["run"] == report.main.name, "value"].iloc[0]
    found["final"] = float(own)
    for role, (final, gain) in RIVALS.items():
        beside = at_equal_steps(report, role)
        if beside is not None:
            found |= {final: beside.other, gain: beside.gain}
    if report.standing is not None:
        found["picks.favourites_share"] = report.standing.favourites
    if report.kind_totals is not None:
        shares = report.kind_totals.set_index("kind")["picked"]
        found["picks.clean_share"] = float(shares.get("clean", 0.0))
    return {name: value for name, value in found.items() if np.isfinite(value)}
