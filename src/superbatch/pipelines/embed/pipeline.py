"""Wiring of the stage `embed`."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline, node, pipeline

from superbatch.pipelines.embed.nodes import embed_set
from superbatch.pipelines.naming import made_by, named


def create_pipeline(checked: bool = True) -> Pipeline:
    """Return the stage: one node for the pool and one for the curated set.

    Args:
        checked: whether the check of the reference comes first, which is an edge then: it may end the run before anything long.
    """
    return pipeline([embed_node("pool", checked), embed_node("curated", checked)])


def embed_node(name: str, checked: bool, reference: str = "reference") -> Node:
    """Return the node that embeds a set, by its name, with a reference; the first one's packed pixels and token ids serve the second, too."""
    features = made_by(reference, name)
    inputs = {
        "directory": f"{name}.set",
        "reference_model": f"{reference}.checkpoint",
        "settings": "params:embed",
        "learner": "params:learner",
        "storage": "params:storage",
        "jobs": "params:jobs",
    }
    inputs |= {"check": f"{reference}.check"} if checked else {}
    inputs |= {"views": f"{name}.features"} if features != name else {}
    return node(
        named(embed_set, features),
        inputs=inputs,
        outputs=f"{features}.features",
        name=f"embed_{features}",
        tags="features",
    )
