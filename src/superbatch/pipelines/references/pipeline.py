"""Wiring of the stage `references`."""

from __future__ import annotations

from collections.abc import Iterable

from kedro.pipeline import Pipeline

from superbatch.pipelines.check.pipeline import check_node
from superbatch.pipelines.embed.pipeline import embed_node
from superbatch.pipelines.reference import pipeline as reference


def create_pipeline(names: Iterable[str]) -> Pipeline:
    """Return the stage: for each name the training or import, the check, and the features of pool and curated set.

    The first reference's packed pixels and token ids serve all of them.
    """
    return Pipeline([part for name in names for part in _parts(name)])


def _parts(name: str) -> list[Pipeline]:
    features = [embed_node(set_name, checked=True, reference=name) for set_name in ("pool", "curated")]
    return [reference.create_pipeline(name), Pipeline([check_node(name), *features])]
