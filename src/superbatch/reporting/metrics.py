"""Names of metrics, `<set>/<metric>`: out of nested results, and as people read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

HEADLINE = "classification/top1"
MEAN = "headline"  # the name of the mean over the sets' main metrics, as `evaluation` computes it

_SHOWN = {r"_r(\d+)$": r" R@\1", r"^top(\d+)$": r"top-\1", r"^few_shot_(\d+)$": r"\1-shot", r"^knn$": "k-NN"}


def flat_metrics(values: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Flatten nested results into `<set>/<metric>`, numbers only; of a level with `metrics` these alone are taken."""
    return {name.strip("/"): value for name, value in _flat(values, prefix)}


def _flat(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    if isinstance(values.get("metrics"), dict):
        values = values["metrics"]
    for key, value in values.items():
        name = f"{prefix}/{key}"
        if isinstance(value, dict):
            yield from _flat(value, name)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield name, float(value)


def metric_title(metric: str) -> str:
    """How a metric is called on axes and in tables: `top-1`, `text to image R@1 on retrieval`, `mean over the sets`."""
    if metric == MEAN:
        return "mean over the sets"
    where, _, name = metric.rpartition("/")
    for pattern, shown in _SHOWN.items():
        name = re.sub(pattern, shown, name)
    words = name.replace("_", " ")
    return words if where in ("", "classification") else f"{words} on {where}"


def headline_title(sets: dict[str, dict[str, Any]]) -> str:
    """How the headline is called: with one set, that set's main metric.

    Args:
        sets: an evaluation's result by set.
    """
    if len(sets) != 1:
        return metric_title(MEAN)
    ((name, result),) = sets.items()
    return metric_title(f"{name}/top1") if "top1" in result["metrics"] else f"mean R@1 on {name}"
