"""Wiring of the stage `evaluate`: one template, one namespace a run."""

from __future__ import annotations

from collections.abc import Iterable

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.pipelines.evaluate.nodes import evaluate_model
from superbatch.pipelines.naming import named


def create_pipeline(runs: Iterable[str]) -> Pipeline:
    """Return the evaluations of some runs (methods, or `reference`), each in its own namespace."""
    return Pipeline([evaluation(run) for run in runs])


def evaluation(run: str) -> Pipeline:
    """Return the evaluation of one run's model."""
    inputs = {
        "model": "checkpoint",
        "evaluation_sets": "evaluation.sets",
        "settings": "params:evaluate",
        "storage": "params:storage",
    }
    measure = node(named(evaluate_model, run), inputs=inputs, outputs="evaluation", name="evaluate", tags="evaluation")
    return pipeline(
        [measure], namespace=run, inputs={"evaluation.sets"}, parameters={"params:evaluate", "params:storage"}
    )
