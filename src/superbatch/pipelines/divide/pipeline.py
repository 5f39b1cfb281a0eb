"""Wiring of the stage `divide`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline, node, pipeline

from superbatch.pipelines.divide.nodes import check_settings, divide_pool, train_all, train_student
from superbatch.pipelines.naming import ALONE, CHECKED

CHECK = f"dnc.{CHECKED}"


def create_pipeline(base: str) -> Pipeline:
    """Return the stage: the pool and a base in; clusters, experts and the student's run out.

    Args:
        base: the method whose learner is the base.
    """
    settings = {"settings": "params:dnc", "template": "params:learner", "override": f"params:{base}.learner"}
    storage = {"storage": "params:storage"}
    pool = {"pool": "pool.set", "pool_features": "pool.features", "base": f"{base}.checkpoint"}
    divided = pool | {"clusters": "dnc.clusters"}
    student = {
        "base_training": f"{base}.training",
        "experts": "dnc.experts",
        "evaluation_sets": "evaluation.sets",
    }
    return pipeline(
        [
            _node(check_settings, "check", {"pool": "pool.set"} | settings, CHECK, "settings"),
            _node(divide_pool, "divide", pool | settings | storage | {"embed": "params:embed", "checked": CHECK}, "dnc.clusters", "features"),
            _node(train_all, "experts", divided | settings | storage, "dnc.experts", "training", ALONE),
            _node(train_student, "train", divided | student | settings | storage, ["dnc.checkpoint", "dnc.training"], "training"),
        ]
    )  # fmt: skip


def _node(
    function: Callable[..., Any], name: str, inputs: dict[str, str], outputs: str | list[str], *tags: str
) -> Node:
    return node(function, inputs=inputs, outputs=outputs, name=name, namespace="dnc", tags=list(tags))
