"""What evaluations say of their test sets beside the metrics: intervals over images, chance, which images were hit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from superbatch.reporting.chance import chance_of, main_metrics
from superbatch.reporting.metrics import MEAN

Results = dict[str, dict[str, Any]]  # by set


@dataclass(frozen=True)
class Measured:
    """One metric's test set; None if not known.

    Attributes:
        chance: the value by guessing. images: how many. test_set: the data's fingerprint.
        hits: which queries hit (packed), one text or one a draw of few-shot.
        queries: of each image, where texts are the queries: one number where all have as many.
    """

    chance: float = np.nan
    images: int | None = None
    test_set: str | None = None
    hits: str | list[str] | None = None
    queries: int | list[int] | None = None


def measured(metric: str, tested: Results) -> Measured:
    """Return what is known of a metric's test set; of the headline, which has several, chance alone."""
    if metric == MEAN:
        found = [np.mean([chance_of(name, result) for name in main_metrics(result)]) for result in tested.values()]
        return Measured(float(np.mean(found)) if found else np.nan)
    where, _, name = metric.rpartition("/")
    result = tested.get(where)
    if result is None:
        return Measured()
    hits = (result.get("hits") or {}).get(name)
    queries = result.get("texts_an_image") if name.startswith("text_to_image") else None
    return Measured(chance_of(name, result), result.get("num_images"), result.get("data"), hits, queries)


def test_intervals(tested: Results) -> dict[str, tuple[float, float]]:
    """95 % intervals over images or texts by `<set>/<metric>`.

    The headline is a mean of metrics; the means of their bounds are its own, and too wide rather than too narrow.
    """
    found = {
        f"{name}/{metric}": (float(low), float(high))
        for name, result in tested.items()
        for metric, (low, high) in (result.get("confidence") or {}).items()
    }
    mains = [[found.get(f"{name}/{metric}") for metric in main_metrics(result)] for name, result in tested.items()]
    if mains and all(bounds is not None for of_set in mains for bounds in of_set):
        low, high = np.mean([np.mean(of_set, axis=0) for of_set in mains], axis=0)  # type: ignore[arg-type]
        found[MEAN] = float(low), float(high)
    return found
