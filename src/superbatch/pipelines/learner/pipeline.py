"""Wiring of the stage `learner`: one template, one namespace a method."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.pipelines.learner.nodes import check_learner, train_learner
from superbatch.pipelines.naming import CHECKED, made_by, named


def shared(reference: str = "reference") -> dict[str, str]:
    """Return what every learner reads, under the names of the node's arguments, by the reference that it goes by."""
    return {
        "pool": "pool.set",
        "pool_features": f"{made_by(reference, 'pool')}.features",
        "curated": "curated.set",
        "curated_features": f"{made_by(reference, 'curated')}.features",
        "reference_model": f"{reference}.checkpoint",
        "reference_training": f"{reference}.training",
        "evaluation_sets": "evaluation.sets",
    }


def checked_by(reference: str) -> dict[str, str]:
    """Return what a learner reads besides, where its reference was checked."""
    return {"reference_check": f"{reference}.check"}


def decided_by(curated: bool) -> dict[str, str]:
    """Return what a learner reads besides, where a decision says which rows it draws from."""
    return {"decisions": "pool.decisions"} if curated else {}


def taught_by(teacher: str | None) -> dict[str, str]:
    """Return what a learner reads besides, where another model than its reference teaches."""
    if teacher is None:
        return {}
    return {
        "teacher_features": f"{made_by(teacher, 'pool')}.features",
        "teacher_model": f"{teacher}.checkpoint",
        "teacher_training": f"{teacher}.training",
    }


def create_pipeline(
    methods: Mapping[str, str],
    checked: bool = True,
    of_labels: Collection[str] = (),
    curated: Collection[str] = (),
    teachers: Mapping[str, str] | None = None,
) -> Pipeline:
    """Return the learners of some methods, each in its own namespace.

    Args:
        methods: the reference that each goes by, by its name.
        checked: whether the references were checked; in a chain that uses none they are not.
        of_labels: references of labels, whom nobody checks.
        curated: methods that draw from what a decision keeps.
        teachers: the model that teaches in the reference's place, by method.
    """
    taught = teachers or {}
    given = [
        (m, reference, checked and reference not in of_labels, m in curated, taught.get(m))
        for m, reference in methods.items()
    ]
    return Pipeline([learner(*one) for one in given])


def learner(
    method: str,
    reference: str = "reference",
    checked: bool = True,
    curated: bool = False,
    teacher: str | None = None,
) -> Pipeline:
    """Return a method's learner: `params:learner` is the template, `params:<method>.learner` what the method changes in it.

    Its settings are checked first, and in a chain before the reference is trained (`reference.pipeline` tells why).
    """
    given = shared(reference) | (checked_by(reference) if checked else {}) | decided_by(curated) | taught_by(teacher)
    rules = {"template": "params:template", "override": "params:learner"}
    check = node(
        named(check_learner, method),
        inputs={name: given[name] for name in ("pool", "curated")} | rules,
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
