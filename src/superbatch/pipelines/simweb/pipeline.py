"""Wiring of the stage `simweb`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.pipelines.simweb.nodes import render_simweb


def create_pipeline() -> Pipeline:
    """Return the stage: parameters in, shards out."""
    inputs = {"settings": "params:simweb", "ingest": "params:ingest", "storage": "params:storage"}
    return pipeline([node(render_simweb, inputs=inputs, outputs="simweb", name="render_simweb", tags="data")])
