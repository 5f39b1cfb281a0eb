"""Wiring of the stage `compare`: a learner and an evaluation for every run of the grid, and their records in one file."""

from __future__ import annotations

from collections.abc import Sequence

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.pipelines.compare.grid import RunSpec
from superbatch.pipelines.compare.nodes import collect_runs, train_compared
from superbatch.pipelines.evaluate.pipeline import evaluation
from superbatch.pipelines.learner.pipeline import SHARED
from superbatch.pipelines.naming import named


def create_pipeline(specs: Sequence[RunSpec]) -> Pipeline:
    """Return the stage; `--namespaces <run>` runs one of its runs alone."""
    runs = sum((compared(spec) for spec in specs), evaluation("reference"))
    edges = [
        f"{run}.{part}" for run in ("reference", *(spec.name for spec in specs)) for part in ("training", "evaluation")
    ]
    collect = node(
        collect_runs,
        inputs=["params:compare", *edges],
        outputs="compare.results",
        name="collect_runs",
        tags="reporting",
    )
    return runs + pipeline([collect])


def compared(spec: RunSpec) -> Pipeline:
    """Return one run of the grid: its learner and its evaluation, under the run's name."""
    parameters = {
        "template": "params:learner",
        "override": f"params:{spec.method}.learner",
        "compare": "params:compare",
        "storage": "params:storage",
    }
    train = node(
        named(train_compared, spec.name),
        inputs=SHARED | parameters,
        outputs=["model", "training"],
        name="train",
        tags="training",
    )
    learner = pipeline([train], namespace=spec.name, inputs=set(SHARED.values()), parameters=set(parameters.values()))
    return learner + evaluation(spec.name)
