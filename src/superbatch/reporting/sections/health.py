"""How healthy the run was: where its time went, whether it stayed finite."""

from __future__ import annotations

import numpy as np

from superbatch.reporting.accounts import TIME_PARTS, time_split
from superbatch.reporting.runs import Run


def health(run: Run) -> list[str]:
    """Sentences on the time of a step, loss and gradient norm; none without a ledger."""
    return [] if run.ledger is None else [_time_line(run), *_steady(run)]


def _time_line(run: Run) -> str:
    split = time_split(run.ledger)
    whole = sum(split.values()) or 1.0
    parts = ", ".join(
        f"{100 * split[part] / whole:.0f} % {part.removeprefix('seconds_')}" for part in TIME_PARTS if part in split
    )
    waited = 100 * split.get("seconds_data", 0.0) / whole
    return (
        f"A step took {1000 * whole:.1f} ms on average: {parts}. The device waited for data {waited:.0f} % of the time."
    )


def _steady(run: Run) -> list[str]:
    """Whether the loss stayed finite, where it ended, and how often the gradient was clipped."""
    ledger = run.ledger
    assert ledger is not None
    bad = int((~np.isfinite(ledger[["loss", "gradient_norm"]])).any(axis=1).sum())
    last = ledger.iloc[-1]
    lines = [
        f"The loss ended at {last['loss']:.4g}, the gradient norm at {last['gradient_norm']:.3g}; "
        + (f"{bad:,} of {len(ledger):,} steps were NOT finite." if bad else "all steps were finite.")
    ]
    limit = run.setting("training", "optimizer", {}).get("gradient_clip")
    if limit:
        clipped = 100 * float((ledger["gradient_norm"] > limit).mean())
        lines.append(f"The gradient was clipped (at a norm of {limit:g}) in {clipped:.0f} % of the steps.")
    return lines
