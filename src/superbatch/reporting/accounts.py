"""The cost of a run from its records: samples, FLOPs (three accountings, by tower), seconds, and what they were spent on.

The numbers are those that `training.flops.Account` wrote into ledger and run.json; nothing is counted here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

ACCOUNTINGS = ("flops_paper", "flops_as_executed", "flops_charged")
TIME_PARTS = (
    "seconds_data",
    "seconds_score",
    "seconds_select",
    "seconds_train",
    "seconds_proxy",
    "seconds_reference",
    "seconds_checkpoint",
)
_FROM_LEDGER = {
    "samples": "samples_trained",
    "samples_scored": "samples_scored",
    "flops_paper": "flops_paper",
    "flops_as_executed": "flops_as_executed",
}
_ONE_OFF_TOTALS = {"total", "as_executed", "as_executed_total", "one_off", "one_off_total"}


def totals(record: dict[str, Any], ledger: pd.DataFrame | None, planned_samples: int) -> dict[str, float]:
    """Costs of a whole run: samples trained and scored, FLOPs by accounting, seconds; NaN for what is not known.

    Args:
        record: run.json, where there is no ledger. planned_samples: the same, of samples trained.
    """
    if ledger is not None:
        return {name: float(value) for name, value in along(record, ledger).iloc[-1].items() if name != "step"}
    executed = _total_flops(record, "as_executed")
    return {
        "samples": float(planned_samples),
        "samples_scored": np.nan,
        "flops_paper": _total_flops(record, "paper"),
        "flops_as_executed": executed,
        "flops_charged": executed + one_off_flops(record),
        "seconds": _seconds(record),
    }


def along(record: dict[str, Any], ledger: pd.DataFrame) -> pd.DataFrame:
    """Costs up to each finished step of a run: step, and the columns of `totals`."""
    missing = pd.Series(np.nan, ledger.index)
    columns = {name: ledger.get(source, missing).astype(float) for name, source in _FROM_LEDGER.items()}
    columns["flops_charged"] = columns["flops_as_executed"] + one_off_flops(record)
    return pd.DataFrame({"step": ledger["step"], **columns, "seconds": step_seconds(ledger).cumsum()})


def by_tower(record: dict[str, Any], accounting: str) -> dict[str, float]:
    """FLOPs of a whole run by tower (image, text), `as_executed` or `paper`; empty in older records, and of a model without towers."""
    found = (record.get("flops") or {}).get(accounting) or {}
    return {tower: float(sum(parts.values())) for tower, parts in found.items() if tower != "whole"}


def spent_on(record: dict[str, Any], ledger: pd.DataFrame | None) -> pd.DataFrame:
    """What a run's operations and seconds were spent on, a row a part; what was spent once before it comes last.

    Args:
        record: run.json; older ones tell no operations by part. ledger: its seconds.

    Returns:
        Indexed by part (the ledger's columns without `seconds_`; then `charged`'s names): `flops_paper`, `flops_as_executed`, `seconds`;
        NaN where one is not known, no row where none is.
    """
    flops = record.get("flops") or {}
    rows: dict[str, dict[str, float]] = {}
    for accounting in ("paper", "as_executed"):
        for parts in (flops.get(accounting) or {}).values():
            for part, value in parts.items():
                row = rows.setdefault(part, {})
                row[f"flops_{accounting}"] = row.get(f"flops_{accounting}", 0.0) + float(value)
    if ledger is not None:
        for column, seconds in ledger[_time_columns(ledger)].sum().items():
            rows.setdefault(str(column).removeprefix("seconds_"), {})["seconds"] = float(seconds)
    for name, value in _charged_parts(record).items():
        rows[name] = {"flops_paper": np.nan, "flops_as_executed": value}
    for name, value in (record.get("charged_seconds") or {}).items():
        rows.setdefault(name, {})["seconds"] = float(value)
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["flops_paper", "flops_as_executed", "seconds"])
    return frame[(frame.fillna(0.0) != 0).any(axis=1)]


def one_off_flops(record: dict[str, Any]) -> float:
    """FLOPs charged once: training the reference, embedding the pool, decoding (as far as run.json has them)."""
    charged = (record.get("flops") or {}).get("charged") or {}
    if not isinstance(charged, dict):
        return max(0.0, float(charged) - _total_flops(record, "as_executed"))
    parts = _charged_parts(record)
    if parts:
        return float(sum(parts.values()))
    return max(0.0, float(charged.get("total", 0.0)) - _total_flops(record, "as_executed"))


def one_off_seconds(record: dict[str, Any]) -> float:
    """Seconds charged once, of the same and of decoding beforehand; NaN where not all of them are known."""
    charged = _charged_parts(record)
    seconds: dict[str, float] | None = record.get("charged_seconds")
    if seconds is None or any(name not in seconds for name, flops in charged.items() if flops):
        return np.nan
    return float(sum(seconds.values()))


def _charged_parts(record: dict[str, Any]) -> dict[str, float]:
    charged = (record.get("flops") or {}).get("charged")
    parts = charged if isinstance(charged, dict) else {}
    return {k: float(v) for k, v in parts.items() if k not in _ONE_OFF_TOTALS and isinstance(v, (int, float))}


def step_seconds(ledger: pd.DataFrame) -> pd.Series:
    """Seconds of each step, all its parts together."""
    return ledger[_time_columns(ledger)].sum(axis=1)


def _time_columns(ledger: pd.DataFrame) -> list[str]:
    return [column for column in ledger.columns if column.startswith("seconds_")]


def time_split(ledger: pd.DataFrame | None) -> dict[str, float]:
    """Mean seconds a step by part (`TIME_PARTS`); empty without a ledger, without a part that it lacks, or a proxy's without one."""
    if ledger is None:
        return {}
    split = {part: float(ledger[part].mean()) for part in TIME_PARTS if part in ledger}
    return {part: seconds for part, seconds in split.items() if part != "seconds_proxy" or seconds > 0}


def _seconds(record: dict[str, Any]) -> float:
    seconds = record.get("seconds") or {}
    return float(seconds.get("total", sum(v for v in seconds.values() if isinstance(v, (int, float))) or np.nan))


def _total_flops(record: dict[str, Any], accounting: str) -> float:
    return float((record.get("flops") or {}).get(f"{accounting}_total", np.nan))
