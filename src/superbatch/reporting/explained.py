"""How much of the final accuracy is explained by what methods picked: a table of methods, and a fit over them.

Legend: n methods of one length, k measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from superbatch.reporting.metrics import metric_title
from superbatch.reporting.numbers import percent
from superbatch.reporting.understanding import Choices, ends

MEASURES = ("purity", "percentile", "true_concepts", "distinct", "never")
TITLES = {
    "purity": "good pairs %",
    "percentile": "reference percentile",
    "true_concepts": "concepts",
    "distinct": "distinct rows",
    "never": "never picked %",
}
SHARES = ("purity", "percentile", "never")
EXPLAINING = (("purity",), ("true_concepts",), ("purity", "true_concepts"), ("purity", "distinct"))
FEWEST = 8  # methods; with fewer, anything would explain the difference


@dataclass(frozen=True)
class Fit:
    """A straight line through the ends of methods, in points.

    Attributes:
        measures: what explains; `slopes`: points for ten percent more of a share, and for twice as many of a count.
        explained: share of the variance. missed: root mean square of what a method is off when the others tell it (leave one out).
        spread: standard deviation of the ends themselves, which the mean would be off by.
    """

    measures: tuple[str, ...]
    slopes: tuple[float, ...]
    explained: float
    missed: float
    spread: float


def by_method(found: Sequence[Choices]) -> pd.DataFrame:
    """Return a row for each method, filter ratio and length: how many seeds, means of what was picked, and where it ended (`end:<set>`).

    Args:
        found: what runs picked.
    """
    rows = []
    for one in found:
        run, whole = one.run, one.whole.iloc[0]
        about = {"method": run.method, "f": run.filter_ratio, "steps": run.steps}
        ended = {f"end:{name}": 100 * value for name, value in ends(run).items()}
        rows.append(about | {name: whole[name] for name in MEASURES} | ended)
    groups = pd.DataFrame(rows).groupby(["method", "f", "steps"], sort=False)
    return groups.mean().assign(seeds=groups.size()).reset_index()


def most_compared(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep the methods of the length that most methods have; the longest of equals."""
    counts = frame["steps"].value_counts()
    return frame[frame["steps"] == max(steps for steps, count in counts.items() if count == counts.max())]


def fit(frame: pd.DataFrame, end: str, measures: tuple[str, ...]) -> Fit:
    """Fit the ends of methods by least squares; counts enter by the logarithm to base 2, shares by tenths.

    Args:
        frame: of `by_method`, of one length. end: a column. measures: columns.
    """
    columns = [frame[name] * 10 if name in SHARES else np.log2(frame[name]) for name in measures]
    known_nk, end_n = np.stack([np.ones(len(frame)), *columns], 1), frame[end].to_numpy(float)
    weights = np.linalg.lstsq(known_nk, end_n, rcond=None)[0]
    hat_n = np.einsum("nk,kn->n", known_nk, np.linalg.pinv(known_nk))  # how much each end value says by itself
    left_n = end_n - known_nk @ weights
    spread = float(end_n.std())
    explained = 1 - float((left_n**2).mean()) / spread**2 if spread else 0.0
    missed = float(np.sqrt(((left_n / (1 - hat_n)) ** 2).mean()))
    return Fit(measures, tuple(map(float, weights[1:])), explained, missed, spread)


def fits(frame: pd.DataFrame) -> dict[str, list[Fit]]:
    """Fit each end by what is known of the picks; nothing where the truth is not known, or of too few methods.

    Args:
        frame: of `by_method`, of one length.
    """
    known = [measures for measures in EXPLAINING if np.isfinite(frame[list(measures)]).all(axis=None)]
    if len(frame) < FEWEST or not any("purity" in measures for measures in known):
        return {}
    return {end: [fit(frame, end, measures) for measures in known] for end in ends_of(frame)}


def ends_of(frame: pd.DataFrame) -> list[str]:
    """List the columns that say where methods ended, of which all have a value."""
    return [name for name in frame if str(name).startswith("end:") and frame[name].notna().all()]


def method_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Return text cells of `by_method`, the best first."""
    order = ends_of(frame)
    frame = frame.sort_values(order[0], ascending=False) if order else frame
    cells = pd.DataFrame({"method": [_called(*about) for about in zip(frame["method"], frame["f"], strict=True)]})
    cells["steps"], cells["seeds"] = frame["steps"].map("{:,}".format).to_numpy(), frame["seeds"].to_numpy()
    for name in MEASURES:
        if np.isfinite(frame[name]).all():
            form = percent if name in SHARES else "{:,.0f}".format
            cells[TITLES[name]] = frame[name].map(form).to_numpy()
    for name in order:
        title = f"{metric_title(name.removeprefix('end:'))}, end %"
        cells[title] = frame[name].map("{:.1f}".format).to_numpy()
    return cells


def _called(method: str, ratio: float) -> str:
    return f"{method}, f = {ratio:g}" if ratio else method


def fit_cells(found: dict[str, list[Fit]]) -> pd.DataFrame:
    """Return text cells of `fits`."""
    return pd.DataFrame(
        [
            {
                "end": metric_title(end.removeprefix("end:")),
                "by": " and ".join(TITLES[name].removesuffix(" %") for name in one.measures),
                "points for 10 % more or twice as many": ", ".join(f"{slope:+.1f}" for slope in one.slopes),
                "explained %": percent(one.explained),
                "off by": f"{one.missed:.1f}",
                "spread": f"{one.spread:.1f}",
            }
            for end, several in found.items()
            for one in several
        ]
    )
