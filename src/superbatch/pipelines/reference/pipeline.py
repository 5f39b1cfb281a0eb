"""Wiring of the stage `reference`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.options import FURTHER
from superbatch.pipelines.naming import CHECKED, named
from superbatch.pipelines.reference.nodes import check_curated, train_reference


def create_pipeline(name: str = "reference", trained_on: str = "curated") -> Pipeline:
    """Return the stage: the curated set in, the reference's checkpoint and records out.

    Args:
        name: of the reference; of a further one its block of `references` changes the settings of the first.
        trained_on: the set that goes in, `pool` for one that is trained on the pool itself.

    The training waits for a check of its own, which is as deep in the graph as those of the learners. Kedro runs all nodes of one depth before
    the next, so a mistake in any learner's settings shows before a reference is trained for it. Edges from learners' checks to here would
    say the same, but leave and enter each learner's namespace, which Kedro warns of and Kedro-Viz can't fold.
    """
    inputs = {
        "curated": f"{trained_on}.set",
        "evaluation_sets": "evaluation.sets",
        "settings": "params:reference",
        "storage": "params:storage",
    }
    inputs |= {} if name == "reference" else {"override": f"params:references.{name.removeprefix(FURTHER)}"}
    outputs = [f"{name}.checkpoint", f"{name}.training"]
    sizes = {key: value for key, value in inputs.items() if key in ("curated", "settings", "override")}
    checked = f"{name}.{CHECKED}"
    check = node(
        named(check_curated, name), inputs=sizes, outputs=checked, name="check", namespace=name, tags="settings"
    )
    train = node(
        named(train_reference, name),
        inputs=inputs | {"checked": checked},
        outputs=outputs,
        name="train",
        namespace=name,
        tags="training",
    )
    return pipeline([check, train])
