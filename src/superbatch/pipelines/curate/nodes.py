"""Nodes of the stage `curate`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from superbatch.artifacts.fingerprints import file_sha256, fingerprint
from superbatch.artifacts.stamps import Staged, build_kept, build_once
from superbatch.config import Storage, read
from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.options import CurateSettings, JobsSettings

FORMAT = 1  # raised when the same scores give other decisions
log = logging.getLogger(__name__)


def score_rows(
    pool: Path,
    features: Path,
    reference_model: Path,
    evaluation_sets: Path,
    settings: dict[str, Any],
    storage: dict[str, Any],
    jobs: dict[str, Any] | None = None,
) -> Staged:
    """Score every row of the pool: captions, images, duplicates, clusters, and what it has in common with evaluation sets.

    Args:
        pool, features: the ingested pool and its features.
        reference_model: the reference's checkpoint.
        evaluation_sets: ingested.
        settings: `params:curate` -> `options.CurateSettings`.
        storage: `params:storage`.
        jobs: `params:jobs` -> `options.JobsSettings`.
    """
    wanted, places = read(CurateSettings, settings, "curate"), read(Storage, storage, "storage")
    workers = read(JobsSettings, jobs, "jobs").of_stage(1)
    from superbatch.evaluation import load_evaluation_sets
    from superbatch.tasks.curating import Curated, write_scores
    from superbatch.tasks.sets import SetFiles

    given = Curated(SetFiles(pool, features), reference_model, load_evaluation_sets(evaluation_sets))

    def write(out: Path, kept: Path) -> None:
        write_scores(given, wanted, out, workers, kept)

    return build_kept("pool scores", given.fingerprint(wanted), Path(places.stages), write)


def decide_rows(pool: Path, scores: Path, settings: dict[str, Any], storage: dict[str, Any]) -> Staged:
    """Decide by the scores which rows stay, and why the others go, once for each decision of `curate.decide`.

    Args:
        pool: the ingested pool.
        scores: what `score_rows` wrote.
        settings: `params:curate`; storage: `params:storage`.
    """
    wanted, places = read(CurateSettings, settings, "curate"), read(Storage, storage, "storage")
    lists = {name: _list_digest(name) for name in sorted(_lists(wanted))}
    import pyarrow.parquet as pq

    from superbatch.artifacts.atomic import write_json
    from superbatch.curation.decide import SUMMARY, write_decisions
    from superbatch.curation.scores import SCORES
    from superbatch.curation.uids import sources_digest
    from superbatch.data.manifest import read_manifest

    manifest = read_manifest(pool)

    def write(out: Path) -> None:
        write_json(out / SUMMARY, write_decisions(pq.ParquetFile(scores / SCORES), wanted.decide, manifest, out))

    decides = ["decisions", FORMAT, manifest.fingerprint, file_sha256(scores / SCORES), wanted.decide, lists]
    decides += [sources_digest(manifest)] if lists else []
    made = build_once("pool decisions", fingerprint(decides), Path(places.stages), write)
    for name, found in read_json(made.path / SUMMARY).items():
        left_out = ", ".join(f"{rule} {count:,}" for rule, count in found["left_out"].items())
        log.info("decision %s: keeps %s of %s rows; left out by %s", name, f"{found['kept']:,}", f"{found['rows']:,}", left_out or "nothing")  # fmt: skip
    return made


def _lists(settings: CurateSettings) -> set[str]:
    """Name the lists of uids that rules read."""
    rules = [rule for decision in settings.decide.values() for rule in decision]
    return {path for rule in rules for path in (rule.uids_in, rule.uids_out) if path is not None}


def _list_digest(path: str) -> str:
    if not Path(path).is_file():
        raise UserError("curate.decide", f"{path}: no such list of uids", "correct the path, relative to the project")
    return file_sha256(Path(path))
