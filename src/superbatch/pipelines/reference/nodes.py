"""Nodes of the stage `reference`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from superbatch.artifacts.stamps import Staged
from superbatch.config import Storage, read, reference_settings
from superbatch.options import ReferenceSettings
from superbatch.pipelines.learner.nodes import use_project_logging


def check_curated(name: str, curated: Path, settings: dict[str, Any], override: dict[str, Any] | None = None) -> str:
    """Refuse sizes, and labels, that the reference's training would refuse.

    Args:
        name: the reference's, bound by the pipeline.
        curated: the ingested curated set, or the pool where it is trained on that.
        settings: `params:reference`; override: of a further one, `params:references.<name>`.

    Returns:
        A line; it puts the training behind the check.
    """
    from superbatch.data.manifest import read_manifest
    from superbatch.tasks.label_jobs import labelled_rows
    from superbatch.tasks.reference import check_reference, split_rows

    reference, manifest = reference_settings(name, settings, override), read_manifest(curated)
    by_labels = reference.labels is not None
    rows = labelled_rows(reference, manifest) if by_labels else split_rows(manifest, reference.held_out)
    check_reference(reference, *map(len, rows))
    return f"{name}: the settings fit the set"


def check_rendered(settings: dict[str, Any], simweb: dict[str, Any], ingest: dict[str, Any]) -> None:
    """Refuse the same before the embedded default is rendered and read, if it is the curated set: how many pairs it gets is known.

    Args:
        settings, simweb, ingest: `params:reference`, `params:simweb`, `params:ingest`.
    """
    from superbatch.config import IngestSettings
    from superbatch.curation.held_out import held_out_count
    from superbatch.options import SimwebSettings
    from superbatch.tasks.reference import check_reference

    shards = read(IngestSettings, ingest, "ingest").curated.shards
    if isinstance(shards, str) and "simweb" in Path(shards).parts:
        pairs = read(SimwebSettings, simweb, "simweb").curated_pairs
        reference = read(ReferenceSettings, settings, "reference")
        held_out = held_out_count(pairs, reference.held_out)
        check_reference(reference, pairs - held_out, held_out)


def train_reference(
    name: str,
    curated: Path,
    evaluation_sets: Path,
    settings: dict[str, Any],
    storage: dict[str, Any],
    override: dict[str, Any] | None = None,
    checked: str = "",
) -> tuple[Staged, Staged]:
    """Train a reference on the curated set, or import an open_clip checkpoint (`import_from`).

    Args:
        name: the reference's, bound by the pipeline.
        curated: the ingested curated set, or the pool where it is trained on that.
        evaluation_sets: ingested evaluation sets, looked at during training (validation).
        settings: `params:reference` -> `options.ReferenceSettings`; override: of a further one, `params:references.<name>`.
        storage: `params:storage` -> `config.Storage`.
        checked: that the settings were checked (`check_curated`): an edge.

    Returns:
        The checkpoint and the records of its training (run.json; of an import: what was imported, no steps).
    """
    from superbatch.evaluation.store import fingerprint_of_sets
    from superbatch.tasks import SetFiles, import_reference
    from superbatch.tasks.jobs import build_reference, make_evaluate
    from superbatch.training import train_once

    reference, places = reference_settings(name, settings, override), read(Storage, storage, "storage")
    if reference.import_from:
        evaluate = make_evaluate(evaluation_sets, "validation", reference.training.device)
        judged_on = fingerprint_of_sets(evaluation_sets, "validation")
        return import_reference(reference, SetFiles(curated), Path(places.stages), evaluate, name, judged_on)
    job = build_reference(reference, curated, evaluation_sets, Path(places.state), name=name)
    return train_once(job, Path(places.stages), prepare=use_project_logging)
