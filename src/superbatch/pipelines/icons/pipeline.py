"""Wiring of the stage `icons`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.pipelines.icons.nodes import render_icons


def create_pipeline() -> Pipeline:
    """Return the stage: parameters in, shards out."""
    inputs = {"settings": "params:icons", "ingest": "params:ingest", "storage": "params:storage"}
    return pipeline([node(render_icons, inputs=inputs, outputs="icons", name="render_icons", tags="data")])
