"""Wiring of the stage `verify`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.pipelines.verify.nodes import verify


def create_pipeline() -> Pipeline:
    """Return the stage: one node that writes nothing."""
    inputs = ["pool.set", "curated.set", "evaluation.sets", "params:ingest"]
    return pipeline([node(verify, inputs=inputs, outputs=None, name="verify", tags="data")])
