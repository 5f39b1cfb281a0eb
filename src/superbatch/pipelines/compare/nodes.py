"""Nodes of the stage `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superbatch.config import merge
from superbatch.files import read_json
from superbatch.pipelines.compare.grid import expand
from superbatch.pipelines.learner.nodes import train_learner
from superbatch.stages import Staged


def train_compared(
    name: str,
    template: dict[str, Any],
    override: dict[str, Any] | None,
    compare: dict[str, Any],
    storage: dict[str, Any],
    **directories: Path,
) -> tuple[Staged, Staged]:
    """Train one run of the grid: the method's settings with the run's own on top.

    Args:
        name: the run's name (`RunSpec.name`), bound by the pipeline.
        compare: `params:compare`, where `grid.expand` finds the run's settings by its name.

    The other arguments, and the directories by name, are those of `learner.nodes.train_learner`; so is what it returns.
    """
    spec = next(spec for spec in expand(compare) if spec.name == name)
    own = merge(override or {}, spec.overrides)
    return train_learner(name, template=template, override=own, storage=storage, **directories)


def collect_runs(compare: dict[str, Any], *directories: Path) -> list[dict[str, Any]]:
    """Put the outcomes of all runs of the grid into one list, a row a run.

    Args:
        compare: `params:compare`.
        directories: training and evaluation of the reference, then of each run, two and two, in the grid's order.

    Returns:
        Rows of run, label, method, settings, commit, run hash, digests of picks and weights, FLOPs, seconds, metrics.
    """
    specs = expand(compare)
    names = [("reference", "reference", "reference"), *((spec.name, spec.label, spec.method) for spec in specs)]
    places = zip(directories[::2], directories[1::2], strict=True)
    return [row(*name, *place) for name, place in zip(names, places, strict=True)]


def row(name: str, label: str, method: str, training: Path, evaluation: Path) -> dict[str, Any]:
    """Return the outcome of one run: where it comes from, what it cost, what it reached on validation and test.

    `outcome` is the run's row of `reporting.runs_frame`: what tables and steps to target are computed from.
    """
    from superbatch.reporting import Run, runs_frame

    assert training.parent == evaluation.parent, "training and evaluation of one run lie beside each other"
    summary = read_json(training / "run.json")
    kept = ("run_hash", "commit", "machine", "torch", "threads", "seed", "plan", "digests", "flops", "seconds")
    run = Run(training.parent, name)
    outcome = runs_frame([run]).iloc[0].to_dict()
    metrics = {"validation": run.validation, "test": run.test}
    return {
        "run": name,
        "label": label,
        "method": method,
        **{key: summary[key] for key in kept},
        **metrics,
        "outcome": outcome,
    }
