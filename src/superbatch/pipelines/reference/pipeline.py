"""Wiring of the stage `reference`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.pipelines.naming import CHECKED
from superbatch.pipelines.reference.nodes import check_curated, train_reference


def create_pipeline() -> Pipeline:
    """Return the stage: the curated set in, the reference's checkpoint and records out.

    The training waits for a check of its own, which is as deep in the graph as those of the learners. Kedro runs all nodes of one depth before
    the next, so a mistake in any learner's settings shows before a reference is trained for it. Edges from learners' checks to here would
    say the same, but leave and enter each learner's namespace, which Kedro warns of and Kedro-Viz can't fold.
    """
    inputs = {
        "curated": "curated.set",
        "evaluation_sets": "evaluation.sets",
        "settings": "params:reference",
        "storage": "params:storage",
    }
    outputs = ["reference.checkpoint", "reference.training"]
    sizes = {name: inputs[name] for name in ("curated", "settings")}
    checked = f"reference.{CHECKED}"
    check = node(check_curated, inputs=sizes, outputs=checked, name="check", namespace="reference", tags="settings")
    train = node(
        train_reference,
        inputs=inputs | {"checked": checked},
        outputs=outputs,
        name="train",
        namespace="reference",
        tags="training",
    )
    return pipeline([check, train])
