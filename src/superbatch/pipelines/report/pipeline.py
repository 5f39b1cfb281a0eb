"""Wiring of the stage `report`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.pipelines.naming import made_by, named
from superbatch.pipelines.report.nodes import report

COMMAND = "params:command"  # the command that makes the run again; the project's hooks know it
OUTPUTS = (
    "summary",
    "table",
    "metrics",
    "accuracy_by_steps",
    "accuracy_by_samples",
    "accuracy_by_flops",
    "accuracy_by_seconds",
    "purity",
    "plot_validation",
    "plot_loss",
    "page",
)


def create_pipeline(
    methods: Iterable[str] = (), sources: Iterable[str] = ("simweb",), references: Sequence[str] = ("reference",)
) -> Pipeline:
    """Return the stage.

    Args:
        methods: the methods of a chain: edges that put the report behind them. All other runs found are shown beside them;
            without methods, whatever is found.
        sources: stages whose shards are read, which are edges too.
        references: of the chain, by name; the last one's features of the pool say how the first method's picks stand to it.
    """
    methods = tuple(methods)
    runs = (*references, *methods) if methods else ()
    edges = [f"{run}.{part}" for run in runs for part in ("training", "evaluation")]
    files = ["pool.set", f"{made_by(references[-1], 'pool')}.features", "evaluation.sets", "runs"]
    inputs = [*files, "params:report", "params:storage", COMMAND, *sources, *edges]
    outputs = {name: f"report.{name}" for name in OUTPUTS}
    made = named(report, methods[0] if methods else None)
    return pipeline([node(made, inputs=inputs, outputs=outputs, name="report", tags="reporting")])
