"""Where every run ended: one tidy table over all of them, which targets and tables work on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from superbatch.errors import UserError
from superbatch.reporting.accounts import ACCOUNTINGS
from superbatch.reporting.families import method_names, tuned_words
from superbatch.reporting.intervals import mean_interval
from superbatch.reporting.measured import Measured
from superbatch.reporting.metrics import HEADLINE
from superbatch.reporting.runs import Run


def known_metrics(runs: Iterable[Run]) -> list[str]:
    """Return the metrics that any run has, on test or validation, in order of their names."""
    return sorted({metric for run in runs for metric in (*run.test, *run.validation)})


def check_metric(runs: Sequence[Run], wanted: str) -> None:
    """Refuse a metric that no run has, unless no run has any.

    Raises:
        UserError: it names those that are known.
    """
    known = known_metrics(runs)
    if known and wanted not in known:
        raise UserError("report.metric", f"no evaluated set has {wanted!r}", f"there are {', '.join(known)}")


def runs_frame(runs: Iterable[Run], metric: str = HEADLINE) -> pd.DataFrame:
    """One row a run: identity, final values and costs; what targets and tables work on.

    `method` is that of the run's family: candidates that differ in tuned settings alone have one, whatever their labels.
    `value` is the test value of `metric`, or the validation value where the run has no test value
    (`split` says which); `validation` serves for tuning. Shares lie in [0, 1]. `value_low` and `value_high` bound the
    value over test images; `chance`, `images`, `test_set` and `hits` are `measured.Measured`.
    """
    runs = list(runs)
    methods = method_names(runs)
    rows = [_row(run, metric) | {"method": methods[run.name]} for run in runs]
    return pd.DataFrame(rows, columns=None if rows else list(_EMPTY_COLUMNS))


_EMPTY_COLUMNS = (
    "run",
    "method",
    "role",
    "f",
    "steps",
    "seed",
    "configuration",
    "variant",
    "complete",
    "given_start",
    "split",
    "value",
    "validation",
    "samples",
    "samples_scored",
    *ACCOUNTINGS,
    "seconds",
)


def _row(run: Run, metric: str) -> dict[str, Any]:
    validation = run.validation.get(metric, np.nan)
    tested = metric in run.test
    identity = {
        "run": run.name,
        "method": run.method,
        "role": run.role,
        "f": run.filter_ratio,
        "steps": run.steps,
        "seed": run.seed,
        "configuration": run.configuration,
        "variant": ", ".join(word for word in tuned_words(run) if word.startswith(("best ", "lr "))),
        "tuning": ", ".join(tuned_words(run)),
        "complete": run.complete,
        "given_start": run.given_start,
    }
    values = {
        "split": "test" if tested else "validation",
        "value": run.test[metric] if tested else validation,
        "validation": validation,
        **dict(zip(("value_low", "value_high"), run.intervals.get(metric, (np.nan, np.nan)), strict=True)),
        **asdict(run.measured(metric) if tested else Measured()),
    }
    extra = {f"test:{name}": value for name, value in run.test.items() if name != metric}
    return identity | values | run.totals() | extra


@dataclass(frozen=True)
class Final:
    """Where one method ended, as a share: the mean over n seeds with its 95 % interval; `over` as in `intervals.Difference`."""

    mean: float
    low: float
    high: float
    n: int
    over: str
    split: str


def final_of(cell: pd.DataFrame) -> Final:
    """Where the runs of one method and length ended.

    Args:
        cell: rows of `runs_frame`, at least one.
    """
    split, seeds = str(cell["split"].iloc[0]), int(cell["seed"].nunique())
    mean, low, high = mean_interval(cell.groupby("seed")["value"].mean())
    if seeds > 1:
        return Final(mean, low, high, seeds, "seeds", split)
    low, high = (float(cell[name].iloc[0]) for name in ("value_low", "value_high"))
    return Final(mean, low, high, 1, "images" if np.isfinite(low) else "", split)
