"""Where every run ended: one tidy table over all of them, which targets and tables work on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from superbatch.reporting.accounts import ACCOUNTINGS
from superbatch.reporting.metrics import FALLBACK, HEADLINE
from superbatch.reporting.runs import Run


def choose_metric(runs: Iterable[Run], wanted: str = HEADLINE) -> str:
    """Return the wanted metric if any run has it, else the headline over whatever sets there are."""
    return wanted if any(wanted in run.test or wanted in run.validation for run in runs) else FALLBACK


def runs_frame(runs: Iterable[Run], metric: str = HEADLINE) -> pd.DataFrame:
    """One row a run: identity, final values and costs; what targets and tables work on.

    `value` is the test value of `metric`, or the validation value where the run has no test value
    (`split` says which); `validation` serves for tuning. Shares lie in [0, 1].
    """
    rows = [_row(run, metric) for run in runs]
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
        "variant": describe_variant(run),
        "complete": run.complete,
    }
    values = {
        "split": "test" if tested else "validation",
        "value": run.test[metric] if tested else validation,
        "validation": validation,
        **dict(zip(("value_low", "value_high"), run.intervals.get(metric, (np.nan, np.nan)), strict=True)),
    }
    extra = {f"test:{name}": value for name, value in run.test.items() if name != metric}
    return identity | values | run.totals() | extra


def describe_variant(run: Run) -> str:
    """What tells a configuration from its siblings, in a few words: the share kept, the learning rate."""
    words = []
    share = run.setting("pool", "keep_share", 1.0)
    if share < 1:
        words.append(f"best {100 * share:.3g} %")
    rate = run.setting("training", "optimizer", {}).get("learning_rate")
    if rate is not None:
        words.append(f"lr {rate:.3g}")
    return ", ".join(words)
