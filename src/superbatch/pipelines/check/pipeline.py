"""Wiring of the stage `check`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline, node, pipeline

from superbatch.pipelines.check.nodes import check_reference
from superbatch.pipelines.naming import named


def create_pipeline() -> Pipeline:
    """Return the stage: reference, curated set and pool in, measures and verdict out."""
    return pipeline([check_node("reference")])


def check_node(reference: str) -> Node:
    """Return the check of one reference, by its name."""
    inputs = {
        "model": f"{reference}.checkpoint",
        "training": f"{reference}.training",
        "curated": "curated.set",
        "pool": "pool.set",
        "settings": "params:check",
        "storage": "params:storage",
    }
    outputs = f"{reference}.check"
    return node(
        named(check_reference, reference), inputs=inputs, outputs=outputs, name=f"check_{reference}", tags="evaluation"
    )
