"""Wiring of the stage `references`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from kedro.pipeline import Pipeline

from superbatch.pipelines.check.pipeline import check_node
from superbatch.pipelines.embed.pipeline import embed_node
from superbatch.pipelines.reference import pipeline as reference


def create_pipeline(
    names: Iterable[str], of_labels: Collection[str] = (), trained_on: Mapping[str, str] | None = None
) -> Pipeline:
    """Return the stage: for each name the training or import, the check, and the features of pool and curated set.

    The first reference's packed pixels and token ids serve all of them.

    Args:
        names: of the references. of_labels: those that are of labels, whom nobody checks: the check is of pairs.
        trained_on: the set that each is trained on, by its name; the curated one where nothing is said.
    """
    sets = trained_on or {}
    parts = (_parts(name, name not in of_labels, sets.get(name, "curated")) for name in names)
    return Pipeline([part for several in parts for part in several])


def _parts(name: str, checked: bool, trained_on: str) -> list[Pipeline]:
    features = [embed_node(set_name, checked, reference=name) for set_name in ("pool", "curated")]
    check = [check_node(name)] if checked else []
    return [reference.create_pipeline(name, trained_on), Pipeline([*check, *features])]
