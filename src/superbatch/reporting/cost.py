"""What a run cost, beside uniform's run of as many steps, in units that people read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from superbatch.reporting.accounts import by_tower, one_off_seconds, spent_on
from superbatch.reporting.numbers import NONE

if TYPE_CHECKING:
    from superbatch.reporting.report import Report
    from superbatch.reporting.runs import Run

NAMES = {
    "samples": "samples trained",
    "samples_scored": "samples scored",
    "flops_paper": "FLOPs, the paper's accounting",
    "flops_paper_image": "FLOPs of the image tower, the paper's accounting",
    "flops_paper_text": "FLOPs of the text tower, the paper's accounting",
    "flops_as_executed": "FLOPs, as executed",
    "flops_as_executed_image": "FLOPs of the image tower, as executed",
    "flops_as_executed_text": "FLOPs of the text tower, as executed",
    "flops_charged": "FLOPs, everything charged",
    "seconds": "time of training",
    "seconds_charged": "time, everything charged",
}
TOWERS = tuple(name for key, name in NAMES.items() if key.endswith(("_image", "_text")))
PARTS = {
    "train": "training the learner",
    "score": "scoring",
    "select": "choosing",
    "data": "waiting for data",
    "checkpoint": "saving",
    "reference_training": "before: training the reference",
    "bootstrapping": "before: what led to that reference",
    "embedding": "before: embedding the pool",
    "teacher_training": "before: training the teacher",
    "teacher_bootstrapping": "before: what led to the teacher",
    "teacher_embedding": "before: embedding the pool with the teacher",
    "teacher_decoding": "before: decoding the pool for the teacher",
    "base_training": "before: training the base",
    "dividing": "before: dividing the pool",
    "experts": "before: training the experts",
    "decoding": "before: decoding the pool",
}


def cost_table(report: Report) -> pd.DataFrame:
    """Text cells: each cost of the main run, of uniform after as many steps, and how many times uniform's it is."""
    own, rival = whole(report.main), uniform_beside(report)
    other = {} if rival is None else whole(rival)
    known = [key for key in NAMES if np.isfinite(own.get(key, np.nan))]
    cells = pd.DataFrame([_row(report.main.name, key, own[key], other.get(key, np.nan)) for key in known])
    return cells if other or cells.empty else cells.drop(columns=["uniform", "times uniform"])


def whole(run: Run) -> dict[str, float]:
    """Every cost of a whole run, by the keys of `NAMES`: `accounts.totals`, operations by tower, time with what was spent before."""
    found = run.totals()
    for accounting in ("paper", "as_executed"):
        towers = by_tower(run.record, accounting)
        found |= {f"flops_{accounting}_{tower}": value for tower, value in towers.items()}
    return found | {"seconds_charged": found["seconds"] + one_off_seconds(run.record)}


def split_table(run: Run) -> pd.DataFrame:
    """Text cells: what a run's operations, as executed, and its time were spent on, what was spent once before it last."""
    found = spent_on(run.record, run.ledger)
    flops, seconds = found["flops_as_executed"], found["seconds"]
    cells = {"spent on": [PARTS.get(part, f"training the {part}") for part in found.index]}
    cells["FLOPs, as executed"] = [amount("flops", value) if value else NONE for value in flops]
    cells["time"] = [amount("seconds", value) for value in seconds]
    return pd.DataFrame(cells)


def sentence(report: Report) -> str:
    """How many times uniform's operations and time a step took, whole and by tower; empty without uniform beside it."""
    rival = uniform_beside(report)
    if rival is None:
        return ""
    own, other = whole(report.main), whole(rival)

    def times(key: str) -> str:
        return _times(own.get(key, np.nan), other.get(key, np.nan))

    towers = f" (image tower {times('flops_as_executed_image')}, text tower {times('flops_as_executed_text')})"
    told = towers if np.isfinite(own.get("flops_as_executed_image", np.nan)) else ""
    return (
        f"A step of {report.main.name} took {times('flops_as_executed')} uniform's operations as executed{told}, "
        f"{times('flops_paper')} by the paper's accounting, and {times('seconds')} its time."
    )


def uniform_beside(report: Report) -> Run | None:
    """Uniform's run of as many steps as the main one, the same seed before others; None where there is none."""
    runs = [run for run in report.uniform if run.steps == report.main.steps]
    rivals = [run for run in runs if run is not report.main and run.complete]
    return min(rivals, key=lambda run: (run.seed != report.main.seed, run.name), default=None)


def _row(name: str, key: str, own: float, other: float) -> dict[str, str]:
    cells = {name: amount(key, own), "uniform": amount(key, other), "times uniform": _times(own, other)}
    return {"cost": NAMES[key], **cells}


def _times(own: float, other: float) -> str:
    return f"{own / other:.3g}×" if np.isfinite(own) and np.isfinite(other) and other > 0 else NONE


def amount(key: str, value: float) -> str:
    """A cost with its unit: `51,200`, `4.72 TFLOPs`, `70 s`, `2 h 05 min`; a dash where it is not known."""
    if not np.isfinite(value):
        return NONE
    if key.startswith("flops"):
        return _scaled(value) + "FLOPs"
    return _duration(value) if key.startswith("seconds") else f"{value:,.0f}"


def _scaled(value: float) -> str:
    power = min(7, int(np.log10(value) // 3)) if value >= 1 else 0
    return f"{value / 1000**power:.3g} {['', 'k', 'M', 'G', 'T', 'P', 'E', 'Z'][power]}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"
