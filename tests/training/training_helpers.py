"""What the tests of the training loop share: killing it, and comparing what came out."""

from __future__ import annotations

import pyarrow.parquet as pq

from superbatch.training import loop


class Killed(BaseException):
    """Stands for a signal: nothing in the engine may catch it."""


def kill_after(monkeypatch, steps: int) -> None:
    """Make the engine die after this many more optimiser steps."""
    real, left = loop.train_step, [steps]

    def dying(*arguments):
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        return real(*arguments)

    monkeypatch.setattr(loop, "train_step", dying)


def outcome(result) -> dict:
    """What must be equal: digests of picks and weights, the ledger without seconds and memory, the evaluations."""
    ledger = pq.read_table(result.training_dir / "ledger.parquet").to_pydict()
    ledger = {name: column for name, column in ledger.items() if "seconds" not in name and "memory" not in name}
    evaluations = pq.read_table(result.training_dir / "evaluations.parquet").to_pylist()
    return {
        "digests": result.summary["digests"],
        "ledger": ledger,
        "evaluations": evaluations,
        "flops": result.summary["flops"],
    }
