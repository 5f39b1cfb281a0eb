"""What a run cost, beside uniform's run of as many steps, in units that people read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from superbatch.reporting.report import Report
    from superbatch.reporting.runs import Run

NAMES = {
    "samples": "samples trained",
    "samples_scored": "samples scored",
    "flops_paper": "FLOPs, the paper's accounting",
    "flops_as_executed": "FLOPs, as executed",
    "flops_charged": "FLOPs, everything charged",
    "seconds": "time of training",
}


def cost_table(report: Report) -> pd.DataFrame:
    """Text cells: each cost of the main run, of uniform after as many steps, and how many times uniform's it is."""
    own, rival = report.main.totals(), uniform_beside(report)
    other = {} if rival is None else rival.totals()
    rows = [_row(report.main.name, key, own[key], other.get(key, np.nan)) for key in NAMES if np.isfinite(own[key])]
    cells = pd.DataFrame(rows)
    return cells if other or cells.empty else cells.drop(columns=["uniform", "times uniform"])


def uniform_beside(report: Report) -> Run | None:
    """Uniform's run of as many steps as the main one, the same seed before others; None where there is none."""
    runs = [run for run in report.sources.runs if run.role == "uniform" and run.steps == report.main.steps]
    rivals = [run for run in runs if run is not report.main and run.complete]
    return min(rivals, key=lambda run: (run.seed != report.main.seed, run.name), default=None)


def _row(name: str, key: str, own: float, other: float) -> dict[str, str]:
    times = f"{own / other:.3g}×" if np.isfinite(other) and other > 0 else "–"
    return {"cost": NAMES[key], name: amount(key, own), "uniform": amount(key, other), "times uniform": times}


def amount(key: str, value: float) -> str:
    """A cost with its unit: `51,200`, `4.72 TFLOPs`, `70 s`, `2 h 05 min`; a dash where it is not known."""
    if not np.isfinite(value):
        return "–"
    if key.startswith("flops"):
        return _scaled(value) + "FLOPs"
    return _duration(value) if key == "seconds" else f"{value:,.0f}"


def _scaled(value: float) -> str:
    power = min(7, int(np.log10(value) // 3)) if value >= 1 else 0
    return f"{value / 1000**power:.3g} {['', 'k', 'M', 'G', 'T', 'P', 'E', 'Z'][power]}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"
