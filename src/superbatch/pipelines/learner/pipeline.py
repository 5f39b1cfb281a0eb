"""Wiring of the stage `learner`: one template, one namespace a method."""

from __future__ import annotations

from collections.abc import Iterable

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.pipelines.learner.nodes import check_learner, train_learner
from superbatch.pipelines.naming import CHECKED, named

# What every learner reads, under the names of the node's arguments.
SHARED = {
    "pool": "pool.set",
    "pool_features": "pool.features",
    "curated": "curated.set",
    "curated_features": "curated.features",
    "reference_model": "reference.checkpoint",
    "reference_training": "reference.training",
    "evaluation_sets": "evaluation.sets",
}
CHECK = {"reference_check": "reference.check"}  # read too, where the reference was checked


def create_pipeline(methods: Iterable[str], checked: bool = True) -> Pipeline:
    """Return the learners of some methods, each in its own namespace.

    Args:
        methods: their names.
        checked: whether the reference was checked; in a chain that uses none it is not.
    """
    return sum((learner(method, checked) for method in methods), Pipeline([]))


def learner(method: str, checked: bool = True) -> Pipeline:
    """Return a method's learner: `params:learner` is the template, `params:<method>.learner` what the method changes in it.

    Its settings are checked first, and in a chain before the reference is trained (`reference.pipeline` tells why).
    """
    given = SHARED | (CHECK if checked else {})
    rules = {"template": "params:template", "override": "params:learner"}
    check = node(
        named(check_learner, method),
        inputs={name: SHARED[name] for name in ("pool", "curated")} | rules,
        outputs=CHECKED,
        name="check",
        tags="settings",
    )
    train = node(
        named(train_learner, method),
        inputs=given | rules | {"storage": "params:storage", "checked": CHECKED},
        outputs=["checkpoint", "training"],
        name="train",
        tags="training",
    )
    return pipeline(
        [check, train],
        namespace=method,
        inputs=set(given.values()),
        parameters={"params:template": "params:learner", "params:storage": "params:storage"},
    )
