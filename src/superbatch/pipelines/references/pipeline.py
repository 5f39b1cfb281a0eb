"""Wiring of the stage `references`."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from kedro.pipeline import Pipeline

from superbatch.pipelines.check.pipeline import check_node
from superbatch.pipelines.embed.pipeline import embed_node
from superbatch.pipelines.reference import pipeline as reference


def create_pipeline(names: Iterable[str], of_labels: Collection[str] = ()) -> Pipeline:
    """Return the stage: for each name the training or import, the check, and the features of pool and curated set.

    The first reference's packed pixels and token ids serve all of them.

    Args:
        names: of the references. of_labels: those that are of labels, whom nobody checks: the check is of pairs.
    """
    return Pipeline([part for name in names for part in _parts(name, checked=name not in of_labels)])


def _parts(name: str, checked: bool) -> list[Pipeline]:
    features = [embed_node(set_name, checked, reference=name) for set_name in ("pool", "curated")]
    check = [check_node(name)] if checked else []
    return [reference.create_pipeline(name), Pipeline([*check, *features])]
