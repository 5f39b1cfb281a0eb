"""Wiring of the stage `export`."""

from __future__ import annotations

from collections.abc import Sequence

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.pipelines.export.nodes import describe_sets, export_model
from superbatch.pipelines.naming import named

SETTINGS, STORAGE = "params:export", "params:storage"
SETS = ("pool.set", "curated.set", "evaluation.sets")


def create_pipeline(run: str, sets: Sequence[str]) -> Pipeline:
    """Return the stage for one run: its model, and the cards of some sets.

    Args:
        run: whose model is taken away (`export.run`).
        sets: that get a card (`export.sets`); what the audit exported is read only where it is among them.
    """
    model = node(
        named(export_model, run),
        inputs=[
            f"{run}.checkpoint",
            f"{run}.training",
            f"{run}.evaluation",
            "pool.set",
            "curated.set",
            SETTINGS,
            "params:report",
            "params:command",
            STORAGE,
        ],
        outputs=f"{run}.export",
        name=f"export_{run}",
        tags="reporting",
    )
    exported = ["audit.subset"] if "audit" in sets else []
    cards = node(
        describe_sets,
        inputs=[*SETS, SETTINGS, STORAGE, *exported],
        outputs="export.cards",
        name="describe_sets",
        tags="reporting",
    )
    return pipeline([model, *([cards] if sets else [])])
