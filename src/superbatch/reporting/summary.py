"""A report without pictures: the end of a run on the console, and flat numbers for a metrics file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from superbatch.reporting.by_metric import metric_text
from superbatch.reporting.cells import NOT_ON_CONSOLE, readable, to_text
from superbatch.reporting.chance import near_chance
from superbatch.reporting.comparison import Comparison, compare
from superbatch.reporting.cost import sentence as cost_sentence
from superbatch.reporting.findings import at_equal_steps, gains
from superbatch.reporting.metrics import metric_title
from superbatch.reporting.names import cell_of
from superbatch.reporting.tables import final_table
from superbatch.reporting.trust import cautions
from superbatch.reporting.tuning import choices, tuned

if TYPE_CHECKING:
    from superbatch.reporting.report import Report

RIVALS = {  # by role: the names of its final value and of the gain over it
    "uniform": ("final_uniform", "gain_at_equal_steps"),
    "simple": ("final_best_simple", "gain_at_equal_steps_best_simple"),
}


def console_text(report: Report) -> str:
    """The table of results, as far as a console is wide, the main run against uniform in every metric, what it means."""
    told = filter(None, [*gains(report), *cautions(report), cost_sentence(report)])
    return "\n".join([_table(report.cells), *metric_text(report), "", *told])


def grid_text(rows: list[dict[str, Any]], metric: str) -> str:
    """The table of a grid's runs for the console, and what was chosen of what.

    Args:
        rows: those of `compare.json`, each with an `outcome`. metric: what they are of.
    """
    frame = grid_frame(rows)
    starts = frame["given_start"].astype(bool)
    reference = frame["role"] == "reference"
    told = {"From random weights:": ~starts, "From given weights (`model.pretrained`):": starts}
    parts = {title: frame[own | reference] for title, own in told.items() if (own & ~reference).any()}
    if len(parts) < 2:
        return _of_one_start(frame, metric)
    return "\n\n".join(f"{title}\n{_of_one_start(part, metric)}" for title, part in parts.items())


def grid_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """The outcomes of a grid's runs, as `runs_frame` has them.

    The configuration is the run's name without its seed: the fingerprint of a run's record differs with the version that wrote it, and would
    set seeds of one cell apart. `alike`: whether a run has the batch size of most runs that select, where that is known.
    """
    sizes = [(row.get("plan") or {}).get("batch_size") for row in rows]
    frame = pd.DataFrame([row["outcome"] for row in rows]).assign(batch_size=sizes)
    usual = frame.loc[frame["role"] == "selecting", "batch_size"].mode()
    configurations = [cell_of(str(run)) for run in frame["run"]]
    return frame.assign(configuration=configurations, alike=frame["batch_size"].isin(usual)).drop(columns="batch_size")


def _of_one_start(frame: pd.DataFrame, metric: str) -> str:
    """The same of runs that can be compared."""
    compared = Comparison() if near_chance(frame[frame["role"] != "reference"]) else compare(frame)
    table = _table(readable(final_table(frame, compared), metric_title(metric)))
    return "\n".join(filter(None, [table, choices(tuned(frame))]))


def _table(cells: pd.DataFrame) -> str:
    return to_text(cells[[name for name in cells if name not in NOT_ON_CONSOLE]])


def metrics(report: Report) -> dict[str, float]:
    """Flat numbers for a metrics file: final value, gains, figures to target, shares of favourite and clean picks.

    Final values are of the test split, and gains of runs that were evaluated on one split.
    """
    found = dict(report.comparison.numbers())
    own = report.finals[report.finals["run"] == report.main.name].iloc[0]
    found |= {"final": float(own["value"])} if own["split"] == "test" else {}
    for role, (final, gain) in RIVALS.items():
        beside = at_equal_steps(report, role)
        if beside is not None and beside.rival_split == "test":
            found[final] = beside.other
        if beside is not None and beside.rival_split == beside.split != "mixed":
            found[gain] = beside.gain
    if report.standing is not None:
        found["picks.favourites_share"] = report.standing.favourites
    if report.kind_totals is not None:
        shares = report.kind_totals.set_index("kind")["picked"]
        found["picks.clean_share"] = float(shares.get("clean", 0.0))
    return {name: value for name, value in found.items() if np.isfinite(value)}
