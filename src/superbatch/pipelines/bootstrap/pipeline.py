"""Wiring of the stage `bootstrap`."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from superbatch.options import SECOND
from superbatch.pipelines.bootstrap.nodes import bootstrap_reference, check_bootstrap
from superbatch.pipelines.check.pipeline import check_node
from superbatch.pipelines.embed.pipeline import embed_node
from superbatch.pipelines.learner.pipeline import shared
from superbatch.pipelines.naming import ALONE, CHECKED

CHECK = f"bootstrap.{CHECKED}"
SETTINGS = {"settings": "params:bootstrap", "reference": "params:reference"}


def create_pipeline() -> Pipeline:
    """Return the stage: the first reference, its features and the sets in; the enlarged set and the second reference with all of its own out.

    The settings are checked as early as those of the learners (`reference.pipeline` tells why).
    """
    check = node(
        check_bootstrap,
        inputs={"pool": "pool.set", "curated": "curated.set"} | SETTINGS,
        outputs=CHECK,
        name="check",
        namespace="bootstrap",
        tags="settings",
    )
    others = {"embed": "params:embed", "learner": "params:learner", "storage": "params:storage"}
    others |= {"jobs": "params:jobs", "checked": CHECK}
    train = node(
        bootstrap_reference,
        inputs=shared() | SETTINGS | others,
        outputs=["curated_pp.set", f"{SECOND}.checkpoint", f"{SECOND}.training"],
        name="train",
        namespace="bootstrap",
        tags=["training", ALONE],
    )
    features = [embed_node(name, checked=True, reference=SECOND) for name in ("pool", "curated")]
    return pipeline([check, train, check_node(SECOND), *features])
