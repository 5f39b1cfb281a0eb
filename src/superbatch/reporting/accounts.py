"""What a run cost, by its own records: samples, FLOPs in three accountings, seconds and where they went."""

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
    "seconds_checkpoint",
)
_ONE_OFF_TOTALS = {"total", "as_executed", "as_executed_total", "one_off", "one_off_total"}


def totals(record: dict[str, Any], ledger: pd.DataFrame | None, planned_samples: int) -> dict[str, float]:
    """Costs of a whole run: samples trained and scored, FLOPs by accounting, seconds; NaN for what is not known.

    Args:
        record: run.json, where there is no ledger. planned_samples: the same, of samples trained.
    """
    last = {} if ledger is None else ledger.iloc[-1].to_dict()
    executed = float(last.get("flops_as_executed", _total_flops(record, "as_executed")))
    return {
        "samples": float(last.get("samples_trained", planned_samples)),
        "samples_scored": float(last.get("samples_scored", np.nan)),
        "flops_paper": float(last.get("flops_paper", _total_flops(record, "paper"))),
        "flops_as_executed": executed,
        "flops_charged": executed + one_off_flops(record),
        "seconds": _seconds(record, ledger),
    }


def one_off_flops(record: dict[str, Any]) -> float:
    """FLOPs charged once: training the reference, embedding the pool, decoding (as far as run.json has them)."""
    charged = (record.get("flops") or {}).get("charged") or {}
    if not isinstance(charged, dict):
        return max(0.0, float(charged) - _total_flops(record, "as_executed"))
    parts = {k: v for k, v in charged.items() if k not in _ONE_OFF_TOTALS and isinstance(v, (int, float))}
    if parts:
        return float(sum(parts.values()))
    return max(0.0, float(charged.get("total", 0.0)) - _total_flops(record, "as_executed"))


def step_seconds(ledger: pd.DataFrame) -> pd.Series:
    """Seconds of each step, all its parts together."""
    return ledger[[c for c in ledger.columns if c.startswith("seconds_")]].sum(axis=1)


def time_split(ledger: pd.DataFrame | None) -> dict[str, float]:
    """Mean seconds a step by part (`TIME_PARTS`); empty without a ledger, without a part that an older one lacks, or a proxy's without one."""
    if ledger is None:
        return {}
    split = {part: float(ledger[part].mean()) for part in TIME_PARTS if part in ledger}
    return {part: seconds for part, seconds in split.items() if part != "seconds_proxy" or seconds > 0}


def _seconds(record: dict[str, Any], ledger: pd.DataFrame | None) -> float:
    if ledger is not None:
        return float(step_seconds(ledger).sum())
    seconds = record.get("seconds") or {}
    return float(seconds.get("total", sum(v for v in seconds.values() if isinstance(v, (int, float))) or np.nan))


def _total_flops(record: dict[str, Any], accounting: str) -> float:
    return float((record.get("flops") or {}).get(f"{accounting}_total", np.nan))
