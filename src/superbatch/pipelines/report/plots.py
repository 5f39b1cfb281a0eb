"""What `dvc plots` and `dvc metrics` compare: tables of the metric on validation and of the loss, and where each method ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from superbatch.reporting import Report, Run

POINTS = 200  # of the loss, at most, for each run: a plot has no room for more


def plot_tables(made: Report) -> dict[str, pd.DataFrame]:
    """Return `plot_validation` (run, step, value of the report's metric) and `plot_loss` (run, step, loss).

    Neither has seconds in it: the same runs give the same bytes, so that DVC sees a change where there is one.
    """
    runs = [run for run in made.sources.runs if of_a_chain(run)]
    validation = made.curves[made.curves["run"].isin([run.name for run in runs])][["run", "step", "value"]]
    losses = [loss_curve(run) for run in runs if run.ledger is not None]
    loss = pd.concat(losses) if losses else pd.DataFrame(columns=["run", "step", "loss"])
    return {"plot_validation": validation, "plot_loss": loss}


def final_values(made: Report) -> dict[str, float]:
    """Return `final.<run>`, the report's metric on the test split at the end of each of the chains' runs that was tested."""
    names = [run.name for run in made.sources.runs if of_a_chain(run)]
    tested = made.finals[made.finals["split"] == "test"]
    finals = tested[tested["run"].isin(names)].dropna(subset="value")
    return {f"final.{run}": float(value) for run, value in zip(finals["run"], finals["value"], strict=True)}


def of_a_chain(run: Run) -> bool:
    """Whether a run is a method's own or the reference: those of `compare` are no DVC stages, and too many for a plot."""
    return run.name == run.method


def loss_curve(run: Run, points: int = POINTS) -> pd.DataFrame:
    """Return a run's training loss averaged over spans of equal length, at the last step of each."""
    ledger = run.ledger
    assert ledger is not None, "the loss is read from the ledger"
    span = -(-len(ledger) // points)
    spans = ledger.groupby(ledger.index // span).agg(step=("step", "last"), loss=("loss", "mean"))
    return spans.assign(run=run.name)[["run", "step", "loss"]]
