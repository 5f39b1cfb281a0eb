"""Wiring of the stage `advise`: a check of the candidates, a probe of each, measures of the pool, and the advice."""

from __future__ import annotations

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline, node, pipeline

from superbatch.pipelines.advise.nodes import check_candidates, give_advice, measure_pool, train_probe
from superbatch.pipelines.learner.pipeline import checked_by, shared
from superbatch.pipelines.naming import CHECKED, named

SETTINGS, TEMPLATE = "params:advise", "params:learner"
FIT = f"advise.{CHECKED}"


def create_pipeline(candidates: Sequence[str], presets: Sequence[str]) -> Pipeline:
    """Return the stage.

    Args:
        candidates: what is tried out (`advise.candidates`).
        presets: what may be advised, the candidates among them.
    """
    check = node(
        named(check_candidates, tuple(candidates)),
        inputs=["pool.set", "curated.set", SETTINGS, TEMPLATE, *map(_own, candidates)],
        outputs=FIT,
        name="check_candidates",
        tags="settings",
    )
    sets = ["pool.set", "pool.features", "curated.set", "curated.features"]
    measure = node(
        measure_pool,
        inputs=[*sets, "reference.checkpoint", "reference.training"],
        outputs="advise.pool",
        name="measure_pool",
        tags="features",
    )
    return pipeline([check, *map(_probe, candidates), measure, _advice(tuple(candidates), tuple(presets))])


def _own(preset: str) -> str:
    return f"params:{preset}.learner"


def _probe(candidate: str) -> Node:
    given = shared() | checked_by("reference")
    rules = {"settings": SETTINGS, "template": TEMPLATE, "override": _own(candidate), "storage": "params:storage"}
    return node(
        named(train_probe, candidate),
        inputs=given | rules | {"checked": FIT},
        outputs=f"{candidate}.probe",
        name=f"probe_{candidate}",
        tags="training",
    )


def _advice(candidates: tuple[str, ...], presets: tuple[str, ...]) -> Node:
    reference = ["reference.check", "reference.training", "reference.checkpoint"]
    parameters = [SETTINGS, TEMPLATE, "params:report", "params:command"]
    probes = [f"{candidate}.probe" for candidate in candidates]
    return node(
        named(give_advice, (candidates, presets)),
        inputs=[
            "advise.pool",
            *reference,
            "pool.set",
            "curated.set",
            "evaluation.sets",
            *parameters,
            *probes,
            *map(_own, presets),
        ],
        outputs={"advice": "advise.advice", "page": "advise.page"},
        name="advise",
        tags="reporting",
    )
