"""What evaluations record besides metrics: intervals over images, chance, which images were right."""

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
        hits: which queries hit (packed), one text or one a draw of few-shot; of the headline, `images`, `hits` and `queries` of
            the main metrics, set by set.
        queries: of each image, where texts are the queries: one number where all have as many.
    """

    chance: float = np.nan
    images: int | None = None
    test_set: str | None = None
    hits: str | list[Any] | None = None
    queries: int | list[int] | None = None


def measured(metric: str, tested: Results) -> Measured:
    """Return what is known of a metric's test set; of the headline, of all test sets."""
    if metric == MEAN:
        return _headline(tested)
    where, _, name = metric.rpartition("/")
    result = tested.get(where)
    if result is None:
        return Measured()
    hits, queries = _asked(result, name)
    return Measured(chance_of(name, result), result.get("num_images"), result.get("data"), hits, queries)


def _headline(tested: Results) -> Measured:
    """The mean over the sets' main metrics: which images were hit is known if it is of all of them."""
    if not tested:
        return Measured()
    mains = {name: main_metrics(result) for name, result in tested.items()}
    chance = np.mean([np.mean([chance_of(one, tested[name]) for one in metrics]) for name, metrics in mains.items()])
    asked = {name: [_asked(tested[name], one) for one in metrics] for name, metrics in mains.items()}
    marks = [result.get("data") for result in tested.values()]
    if any(hits is None for questions in asked.values() for hits, _ in questions) or None in marks:
        return Measured(float(chance))
    parts = [
        {
            "images": tested[name].get("num_images"),
            "hits": [q[0] for q in questions],
            "queries": [q[1] for q in questions],
        }
        for name, questions in asked.items()
    ]
    return Measured(float(chance), test_set=" ".join(map(str, marks)), hits=parts)


def _asked(result: dict[str, Any], metric: str) -> tuple[Any, int | list[int] | None]:
    """Which queries of a metric hit, and how many there are of each image where texts are the queries."""
    queries = result.get("texts_an_image") if metric.startswith("text_to_image") else None
    return (result.get("hits") or {}).get(metric), queries


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
