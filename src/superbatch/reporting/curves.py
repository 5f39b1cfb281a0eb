"""Accuracy along runs, against every cost a reader may ask for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from superbatch.reporting.accounts import ACCOUNTINGS, along
from superbatch.reporting.families import method_names
from superbatch.reporting.metrics import HEADLINE
from superbatch.reporting.names import label_of
from superbatch.reporting.runs import Run

AXES = {
    "step": "steps",
    "samples": "samples trained",
    "flops_paper": "FLOPs, the paper's accounting",
    "flops_as_executed": "FLOPs, as executed",
    "flops_charged": "FLOPs, everything charged",
    "seconds": "seconds of training",
}
COLUMNS = [
    "run",
    "label",
    "method",
    "role",
    "f",
    "steps",
    "seed",
    "step",
    "samples",
    "samples_scored",
    *ACCOUNTINGS,
    "seconds",
    "value",
]


def curves(runs: Iterable[Run], metric: str = HEADLINE, split: str = "validation") -> pd.DataFrame:
    """Tidy frame of a metric along every run that was evaluated while it trained.

    Returns:
        One row a (run, evaluation) with the costs up to then: `step`, `samples` trained and scored, FLOPs in the three
        accountings (`flops_charged` starts at the one-off costs), `seconds`, and the metric as `value`.
    """
    runs = list(runs)
    methods = method_names(runs)
    parts = [part for run in runs if (part := curve(run, methods[run.name], metric, split)) is not None]
    return pd.concat(parts, ignore_index=True)[COLUMNS] if parts else pd.DataFrame(columns=COLUMNS)


def curve(run: Run, method: str, metric: str = HEADLINE, split: str = "validation") -> pd.DataFrame | None:
    """One run's part of `curves`, under its method's name; None where it has no such evaluations or no ledger."""
    if run.evaluations is None or run.ledger is None:
        return None
    kept = run.evaluations[(run.evaluations["name"] == metric) & (run.evaluations["split"] == split)]
    if kept.empty:
        return None
    points = kept[["step", "value"]].sort_values("step").drop_duplicates("step", keep="last")
    joined = (
        pd.merge_asof(points, costs(run), on="step", direction="backward")
        .fillna({"flops_charged": run.one_off_flops})
        .fillna(0.0)
    )
    identity = {
        "run": run.name,
        "label": label_of(method, run.filter_ratio),
        "method": method,
        "role": run.role,
    }
    return joined.assign(**identity, f=run.filter_ratio, steps=run.steps, seed=run.seed)


def costs(run: Run) -> pd.DataFrame:
    """Costs up to each finished step of a run: step, samples, samples_scored, three FLOPs accountings, seconds."""
    assert run.ledger is not None, "costs are read from the ledger"
    return along(run.record, run.ledger)


def mean_curves(frame: pd.DataFrame) -> pd.DataFrame:
    """Average `curves` over seeds: one row a (label, schedule length, step) with mean, lowest and highest value.

    Only steps at which all runs of that label and length were evaluated are kept: a line through means of different seeds would jump.
    """
    keys = ["label", "method", "role", "f", "steps", "step"]
    axes = [axis for axis in AXES if axis != "step"]
    if frame.empty:
        return pd.DataFrame(columns=[*keys, *axes, "low", "high", "seeds", "value"])
    runs = frame.groupby(keys[:-1], dropna=False)["run"].transform("nunique")
    there = frame.groupby(keys, dropna=False)["run"].transform("nunique")
    groups = frame[there == runs].groupby(keys, as_index=False, dropna=False)
    named = {axis: (axis, "mean") for axis in axes}
    return groups.agg(
        **named, low=("value", "min"), high=("value", "max"), seeds=("seed", "nunique"), value=("value", "mean")
    )


def first_crossing(points: pd.DataFrame, target: float, axis: str = "step") -> float | None:
    """Return where a curve first reaches the target, by linear interpolation; None if it never does.

    This is read along one run whose learning rate is still high: it says less than a complete schedule does.
    """
    ordered = points.sort_values(axis)
    x, y = ordered[axis].to_numpy(float), ordered["value"].to_numpy(float)
    above = np.flatnonzero(y >= target)
    if len(above) == 0:
        return None
    at = int(above[0])
    if at == 0:
        return float(x[0])
    share = (target - y[at - 1]) / (y[at] - y[at - 1])
    return float(x[at - 1] + share * (x[at] - x[at - 1]))
