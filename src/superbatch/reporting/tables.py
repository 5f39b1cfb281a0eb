"""The table of results, in numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from superbatch.reporting.baseline import uniform_of
from superbatch.reporting.comparison import Comparison
from superbatch.reporting.intervals import difference, mean_interval
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
        test images, for one seed), vs uniform (difference at equal steps) with its low and high,
        candidates (how many configurations it was chosen of), R@1 both ways where measured, FLOPs, seconds, then the ratios to target; shares in [0, 1].
    """
    frame = tuned(finals)
    reached = {} if comparison is None else {(t.method, t.f): t for t in comparison.uniform}
    uniform = uniform_of(frame)
    groups = [group for _, group in frame.groupby(["method", "f", "steps"])]
    rows = [_row(group, uniform, reached.get((group["method"].iloc[0], group["f"].iloc[0]))) for group in groups]
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


def _row(group: pd.DataFrame, uniform: pd.DataFrame, outcome: ToTarget | None) -> dict[str, object]:
    first = group.iloc[0]
    mean, low, high = mean_interval(group.groupby("seed")["value"].mean())
    peers = uniform[uniform["steps"] == first["steps"]]
    row: dict[str, object] = {
        "method": first["method"],
        "setting": first["variant"],
        "role": first["role"],
        "f": first["f"],
        "steps": int(first["steps"]),
        "seeds": int(group["seed"].nunique()),
        "candidates": len(first["candidates"]),
        "split": first["split"] if group["split"].nunique() == 1 else "mixed",
        "value": mean,
        "low": low,
        "high": high,
        **_over_images(group),
        **_against(group, peers if first["role"] != "uniform" else peers[:0]),
    }
    row |= {title: _retrieval(group, suffix) for title, suffix in RETRIEVAL.items()}
    row |= {
        "FLOPs": group["flops_as_executed"].mean(),
        "FLOPs charged": group["flops_charged"].mean(),
        "seconds": group["seconds"].mean(),
    }
    return row | _to_target_columns(outcome, int(first["steps"]))


def _against(group: pd.DataFrame, peers: pd.DataFrame) -> dict[str, float]:
    """The difference to uniform after as many steps, with its interval."""
    names = ("vs uniform", "vs uniform low", "vs uniform high")
    if peers.empty:
        return dict.fromkeys(names, np.nan)
    found = difference(group, peers)
    return dict(zip(names, (found.value, found.low, found.high), strict=True))


def _over_images(group: pd.DataFrame) -> dict[str, float]:
    """The evaluation's own interval, over test images, where there is one seed and so none over seeds."""
    known = group["seed"].nunique() == 1 and "value_low" in group
    return {f"image {end}": float(group[f"value_{end}"].iloc[0]) if known else np.nan for end in ("low", "high")}


def _retrieval(group: pd.DataFrame, suffix: str) -> float:
    columns = [c for c in group.columns if c.startswith("test:") and c.endswith("/" + suffix)]
    return float(group[columns].mean(axis=None)) if columns else np.nan


def _to_target_columns(outcome: ToTarget | None, steps: int) -> dict[str, object]:
    """Fill the ratios on the row whose schedule reaches the target, if one of the method's schedules surely does."""
    if outcome is None or steps != outcome.steps or outcome.low == 0:
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
