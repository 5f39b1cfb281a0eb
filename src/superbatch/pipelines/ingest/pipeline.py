"""Wiring of the stage `ingest`."""

from __future__ import annotations

from collections.abc import Callable

from kedro.pipeline import Node, Pipeline, node, pipeline

from superbatch.artifacts.stamps import Staged
from superbatch.pipelines.ingest.nodes import ingest_curated, ingest_evaluation, ingest_pool
from superbatch.pipelines.naming import named

INPUTS = {"settings": "params:ingest", "storage": "params:storage"}
SIMWEB = {"simweb": "simweb"}  # an edge, so that the embedded default is there before its shards are read


def create_pipeline(embedded: bool = True) -> Pipeline:
    """Return the stage: one node for the pool, one for the curated set, one for the evaluation sets.

    Args:
        embedded: whether any shards are those of the embedded default; if none are, nothing waits for it.
    """
    return pipeline(
        [
            _node("pool", ingest_pool, "set", embedded),
            _node("curated", ingest_curated, "set", embedded),
            _node("evaluation", ingest_evaluation, "sets", embedded),
        ]
    )


def _node(name: str, function: Callable[..., Staged], output: str, embedded: bool) -> Node:
    inputs, made = (INPUTS | SIMWEB, function) if embedded else (INPUTS, named(function, None))
    return node(made, inputs=inputs, outputs=f"{name}.{output}", name=f"ingest_{name}", tags="data")
