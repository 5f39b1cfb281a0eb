"""Wiring of the stage `audit`."""

from __future__ import annotations

from collections.abc import Iterable

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.pipelines.audit.nodes import export_subset, judge_rows, show_audit
from superbatch.pipelines.naming import made_by

SETTINGS = "params:audit"


def create_pipeline(
    run: str, sources: Iterable[str] = ("simweb",), reference: str = "reference", decided: bool = False
) -> Pipeline:
    """Return the stage for one run: judge the rows, export some, show all.

    Args:
        run: whose records are read (`audit.run`).
        sources: stages whose shards are read, which are edges then.
        reference: that the run goes by, by name.
        decided: whether what `curate` decided is read: for a run that draws by it, or to tell of each row.
    """
    training, decisions = f"{run}.training", ["pool.decisions"] if decided else []
    judge = node(
        judge_rows,
        inputs=["pool.set", f"{made_by(reference, 'pool')}.features", training, SETTINGS, *decisions],
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
        show_audit,
        inputs=["pool.set", training, "audit.rows", "audit.subset", SETTINGS, *sources],
        outputs={"page": "audit.page", "metrics": "audit.metrics"},
        name="show_audit",
        tags="reporting",
    )
    return pipeline([judge, export, show])
