"""Wiring of the stage `embed`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline, node, pipeline

from superbatch.pipelines.embed.nodes import embed_set
from superbatch.pipelines.naming import named


def create_pipeline() -> Pipeline:
    """Return the stage: one node for the pool and one for the curated set."""
    return pipeline([_node("pool"), _node("curated")])


def _node(name: str) -> Node:
    inputs = {
        "directory": f"{name}.set",
        "reference_model": "reference.checkpoint",
        "settings": "params:embed",
        "learner": "params:learner",
        "storage": "params:storage",
    }
    return node(
        named(embed_set, name), inputs=inputs, outputs=f"{name}.features", name=f"embed_{name}", tags="features"
    )
