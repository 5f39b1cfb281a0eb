"""Wiring of the stage `compare`: a node for every run of the grid, which trains and evaluates it, and their records in one file."""

from __future__ import annotations

from collections.abc import Sequence

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.pipelines.compare.grid import RunSpec
from superbatch.pipelines.compare.nodes import collect_runs, run_compared
from superbatch.pipelines.evaluate.pipeline import evaluation
from superbatch.pipelines.learner.pipeline import CHECK, SHARED
from superbatch.pipelines.naming import named


def create_pipeline(specs: Sequence[RunSpec]) -> Pipeline:
    """Return the stage; `--namespaces <run>` runs one of its runs alone."""
    runs = sum((compared(spec) for spec in specs), evaluation("reference"))
    edges = [
        f"{run}.{part}" for run in ("reference", *(spec.name for spec in specs)) for part in ("training", "evaluation")
    ]
    collect = node(
        collect_runs,
        inputs=["params:compare", "params:report", *edges],
        outputs=["compare.results", "runs"],
        name="collect_runs",
        tags="reporting",
    )
    return runs + pipeline([collect])


def compared(spec: RunSpec) -> Pipeline:
    """Return one run of the grid: training and evaluation in one node, under the run's name."""
    parameters = {
        "template": "params:learner",
        "override": f"params:{spec.method}.learner",
        "compare": "params:compare",
        "evaluate": "params:evaluate",
        "storage": "params:storage",
    }
    run = node(
        named(run_compared, spec.name),
        inputs=SHARED | CHECK | parameters,
        outputs=["checkpoint", "training", "evaluation"],
        name="run",
        tags="evaluation",
    )
    given = {*SHARED.values(), *CHECK.values()}
    return pipeline([run], namespace=spec.name, inputs=given, parameters=set(parameters.values()))
