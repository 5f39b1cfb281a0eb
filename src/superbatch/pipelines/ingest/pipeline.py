"""Wiring of the stage `ingest`."""

from __future__ import annotations

from collections.abc import Iterable

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.pipelines.ingest.nodes import ingest_curated, ingest_evaluation, ingest_pool

NODES = (
    ("pool", ingest_pool, "pool.set"),
    ("curated", ingest_curated, "curated.set"),
    ("evaluation", ingest_evaluation, "evaluation.sets"),
)


def create_pipeline(sources: Iterable[str] = ("simweb",)) -> Pipeline:
    """Return the stage: one node for the pool, one for the curated set, one for the evaluation sets.

    Args:
        sources: stages whose shards are read: edges, so that these are there before; none with shards of one's own.
    """
    inputs = ["params:ingest", "params:storage", "params:jobs", *sources]
    return pipeline(
        [node(made, inputs=inputs, outputs=output, name=f"ingest_{name}", tags="data") for name, made, output in NODES]
    )
