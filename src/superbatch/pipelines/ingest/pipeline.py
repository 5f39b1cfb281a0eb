"""Wiring of the stage `ingest`."""

from __future__ import annotations

from collections.abc import Callable

from kedro.pipeline import Node, Pipeline, node, pipeline

from superbatch.artifacts.stamps import Staged
from superbatch.pipelines.ingest.nodes import ingest_curated, ingest_evaluation, ingest_pool

# simweb is an edge so that the embedded default is there before its shards are read; with shards of your own it is an empty folder.
INPUTS = {"simweb": "simweb", "settings": "params:ingest", "storage": "params:storage"}


def create_pipeline() -> Pipeline:
    """Return the stage: one node for the pool, one for the curated set, one for the evaluation sets."""
    return pipeline(
        [
            _node("pool", ingest_pool, "set"),
            _node("curated", ingest_curated, "set"),
            _node("evaluation", ingest_evaluation, "sets"),
        ]
    )


def _node(name: str, function: Callable[..., Staged], output: str) -> Node:
    return node(function, inputs=INPUTS, outputs=f"{name}.{output}", name=f"ingest_{name}", tags="data")
