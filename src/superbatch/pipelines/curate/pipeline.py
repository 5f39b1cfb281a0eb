"""Wiring of the stage `curate`: scores, and decisions by them."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.pipelines.curate.nodes import decide_rows, score_rows

SETTINGS, STORAGE = "params:curate", "params:storage"


def create_pipeline() -> Pipeline:
    """Return the stage."""
    score = node(
        score_rows,
        inputs=[
            "pool.set",
            "pool.features",
            "reference.checkpoint",
            "evaluation.sets",
            SETTINGS,
            STORAGE,
            "params:jobs",
        ],
        outputs="pool.scores",
        name="score_rows",
        tags="features",
    )
    decide = node(
        decide_rows,
        inputs=["pool.set", "pool.scores", SETTINGS, STORAGE],
        outputs="pool.decisions",
        name="decide_rows",
        tags="features",
    )
    return pipeline([score, decide])
