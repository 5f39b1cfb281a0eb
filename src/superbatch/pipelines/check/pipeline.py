"""Wiring of the stage `check`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.pipelines.check.nodes import check_reference


def create_pipeline() -> Pipeline:
    """Return the stage: reference, curated set and pool in, measures and verdict out."""
    inputs = {
        "model": "reference.checkpoint",
        "training": "reference.training",
        "curated": "curated.set",
        "pool": "pool.set",
        "settings": "params:check",
        "storage": "params:storage",
    }
    return pipeline(
        [node(check_reference, inputs=inputs, outputs="reference.check", name="check_reference", tags="evaluation")]
    )
