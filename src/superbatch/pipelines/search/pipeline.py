"""Wiring of the stage `search`."""

from __future__ import annotations

from collections.abc import Sequence

from kedro.pipeline import Node, Pipeline, node, pipeline

from superbatch.pipelines.naming import named
from superbatch.pipelines.search.nodes import answer, gather, index

# Every set that could be searched, under the names of the nodes' arguments.
SETS = {"pool": "pool.set", "curated": "curated.set", "evaluation_sets": "evaluation.sets", "features": "pool.features"}
SETTINGS = {"settings": "params:search", "storage": "params:storage"}
OUTPUTS = ("summary", "table", "sheet", "page")


def create_pipeline(runs: Sequence[str]) -> Pipeline:
    """Return the stage for some runs: gather the pictures, embed them by each run's model, answer.

    Args:
        runs: whose models search (`search.runs`).
    """
    pictures = node(gather, inputs=SETS | SETTINGS, outputs="search.pictures", name="gather_pictures", tags="features")
    found = [f"{run}.{part}" for run in runs for part in ("checkpoint", "images")]
    answered = node(
        answer,
        inputs=["search.pictures", *SETS.values(), "params:search", "params:report", "params:command", *found],
        outputs={name: f"search.{name}" for name in OUTPUTS},
        name="search",
        tags="reporting",
    )
    return pipeline([pictures, *map(_index, runs), answered])


def _index(run: str) -> Node:
    inputs = {"model": f"{run}.checkpoint", "pictures": "search.pictures"} | SETS | SETTINGS
    return node(named(index, run), inputs=inputs, outputs=f"{run}.images", name=f"index_{run}", tags="features")
