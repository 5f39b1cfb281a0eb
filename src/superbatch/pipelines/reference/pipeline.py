"""Wiring of the stage `reference`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.pipelines.reference.nodes import check_curated, train_reference


def create_pipeline() -> Pipeline:
    """Return the stage: the curated set in, the reference's checkpoint and records out."""
    inputs = {
        "curated": "curated.set",
        "evaluation_sets": "evaluation.sets",
        "settings": "params:reference",
        "storage": "params:storage",
    }
    outputs = ["reference.checkpoint", "reference.training"]
    sizes = {name: inputs[name] for name in ("curated", "settings")}
    return pipeline(
        [
            node(check_curated, inputs=sizes, outputs=None, name="check", namespace="reference"),
            node(train_reference, inputs=inputs, outputs=outputs, name="train", namespace="reference", tags="training"),
        ]
    )
