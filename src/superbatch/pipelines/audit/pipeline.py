"""Wiring of the stage `audit`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.pipelines.audit.nodes import export_subset, judge_rows, show_audit
from superbatch.pipelines.naming import named

SETTINGS = "params:audit"


def create_pipeline(run: str, embedded: bool = True) -> Pipeline:
    """Return the stage for one run: judge the rows, export some, show all.

    Args:
        run: whose records are read (`audit.run`).
        embedded: whether the shards are those of the embedded default, which is an edge then.
    """
    training = f"{run}.training"
    judge = node(
        judge_rows,
        inputs=["pool.set", "pool.features", training, SETTINGS],
        outputs="audit.rows",
        name="judge_rows",
        tags="reporting",
    )
    export = node(
        export_subset,
        inputs=["pool.set", "audit.rows", SETTINGS, "params:storage"],
        outputs="audit.subset",
        name="export_subset",
        tags="reporting",
    )
    show = node(
        show_audit if embedded else named(show_audit, None),
        inputs=[*(["simweb"] if embedded else []), "pool.set", training, "audit.rows", "audit.subset", SETTINGS],
        outputs={"page": "audit.page", "metrics": "audit.metrics"},
        name="show_audit",
        tags="reporting",
    )
    return pipeline([judge, export, show])
