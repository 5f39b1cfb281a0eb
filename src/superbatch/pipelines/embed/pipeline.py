"""Wiring of the stage `embed`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline, node, pipeline

from superbatch.pipelines.embed.nodes import embed_set
from superbatch.pipelines.naming import named


def create_pipeline(checked: bool = True) -> Pipeline:
    """Return the stage: one node for the pool and one for the curated set.

    Args:
        checked: whether the check of the reference comes first, which is an edge then: it may end the run before anything long.
    """
    return pipeline([_node("pool", checked), _node("curated", checked)])


def _node(name: str, checked: bool) -> Node:
    inputs = {
        "directory": f"{name}.set",
        "reference_model": "reference.checkpoint",
        "settings": "params:embed",
        "learner": "params:learner",
        "storage": "params:storage",
    } | ({"check": "reference.check"} if checked else {})
    return node(
        named(embed_set, name), inputs=inputs, outputs=f"{name}.features", name=f"embed_{name}", tags="features"
    )
