"""The table of results, in numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from superbatch.reporting.bootstrap import mean_interval
from superbatch.reporting.comparison import Comparison
from superbatch.reporting.targets import ToTarget
from superbatch.reporting.tuning import tuned

ROLE_ORDER = {"uniform": 0, "simple": 1, "selecting": 2, "reference": 3}
RETRIEVAL = {"image to text R@1": "image_to_text_r1", "text to image R@1": "text_to_image_r1"}


def final_table(finals: pd.DataFrame, comparison: Comparison | None = None) -> pd.DataFrame:
    """One row a (method, f, schedule length), uniform first, the reference last.

    Args:
        finals: `runs_frame`; configurations are reduced by `tuning.tuned`, incomplete runs left out.
        comparison: adds what each method needs to reach uniform's target.

    Returns:
        Columns method, setting, role, f, steps, seeds, split, value, low, high (over seeds), image low, image high (over
        test images, for one seed), vs uniform (difference at equal steps),
        R@1 both ways where measured, FLOPs, seconds, then the ratios to target; shares in [0, 1].
    """
    frame = tuned(finals)
    reached = {} if comparison is None else {(t.method, t.f): t for t in comparison.uniform}
    groups = [group for _, group in frame.groupby(["method", "f", "steps"])]
    rows = [_row(group, frame, reached.get((group["method"].iloc[0], group["f"].iloc[0]))) for group in groups]
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    order = table["role"].map(ROLE_ORDER)
    table = (
        table.assign(order=order)
        .sort_values(["order", "method", "f", "steps"], ignore_index=True)
        .drop(columns="order")
    )
    return table.dropna(axis=1, how="all")


def _row(group: pd.DataFrame, frame: pd.DataFrame, outcome: ToTarget | None) -> dict[str, object]:
    first = group.iloc[0]
    mean, low, high = mean_interval(group["value"])
    peers = frame[(frame["role"] == "uniform") & (frame["steps"] == first["steps"])]["value"]
    row: dict[str, object] = {
        "method": first["method"],
        "setting": first["variant"],
        "role": first["role"],
        "f": first["f"],
        "steps": int(first["steps"]),
        "seeds": int(group["seed"].nunique()),
        "split": first["split"] if group["split"].nunique() == 1 else "mixed",
        "value": mean,
        "low": low,
        "high": high,
        **_over_images(group),
        "vs uniform": mean - peers.mean() if len(peers) and first["role"] != "uniform" else np.nan,
    }
    row |= {title: _retrieval(group, suffix) for title, suffix in RETRIEVAL.items()}
    row |= {
        "FLOPs": group["flops_as_executed"].mean(),
        "FLOPs charged": group["flops_charged"].mean(),
        "seconds": group["seconds"].mean(),
    }
    return row | _to_target_columns(outcome, int(first["steps"]))


def _over_images(group: pd.DataFrame) -> dict[str, float]:
    """The evaluation's own interval, over test images, where there is one seed and so none over seeds."""
    known = len(group) == 1 and "value_low" in group
    return {f"image {end}": float(group[f"value_{end}"].iloc[0]) if known else np.nan for end in ("low", "high")}


def _retrieval(group: pd.DataFrame, suffix: str) -> float:
    columns = [c for c in group.columns if c.startswith("test:") and c.endswith("/" + suffix)]
    return float(group[columns].mean(axis=None)) if columns else np.nan


def _to_target_columns(outcome: ToTarget | None, steps: int) -> dict[str, object]:
    """Fill the ratios on the row whose schedule reaches the target, or on the longest where none does."""
    if outcome is None or steps != outcome.steps:
        return {
            "to target: steps": np.nan,
            "to target: FLOPs (paper)": np.nan,
            "to target: FLOPs (charged)": np.nan,
            "to target: seconds": np.nan,
        }
    return {
        "to target: steps": outcome.ratio,
        "to target: FLOPs (paper)": outcome.ratios["flops_paper"],
        "to target: FLOPs (charged)": outcome.ratios["flops_charged"],
        "to target: seconds": outcome.ratios["seconds"],
    }
