"""Nodes of the stage `ingest`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.artifacts.stamps import Staged, build_once
from superbatch.config import IngestSettings, SetSettings, Storage, read
from superbatch.errors import DiskFull, UserError
from superbatch.files import expand_shards
from superbatch.options import JobsSettings
from superbatch.pipelines.ingest.judging import Judged, check, kept_if_refused, plain, validate, write_docs
from superbatch.stores.address import Place

FORMAT = 3  # raised when the same shards give another manifest
EVALUATION_FORMAT = 2  # the same for evaluation sets; every model is evaluated again then


def ingest_pool(
    settings: dict[str, Any], storage: dict[str, Any], jobs: dict[str, Any] | None = None, *sources: Path
) -> Staged:
    """Check and index the pool: manifest.parquet, rejects.parquet, summary.json, expectations.json.

    Args:
        settings: `params:ingest`.
        storage: `params:storage`.
        jobs: `params:jobs` -> `options.JobsSettings`.
        sources: what the stages before it rendered; edges only, the shards are those of `params:ingest`.
    """
    ingest = read(IngestSettings, settings, "ingest")
    return _ingest_set("pool", ingest.pool, ingest, _workers(ingest, jobs), read(Storage, storage, "storage"))


def ingest_curated(
    settings: dict[str, Any], storage: dict[str, Any], jobs: dict[str, Any] | None = None, *sources: Path
) -> Staged:
    """Check and index the curated set, as the pool."""
    ingest = read(IngestSettings, settings, "ingest")
    return _ingest_set("curated", ingest.curated, ingest, _workers(ingest, jobs), read(Storage, storage, "storage"))


def ingest_evaluation(
    settings: dict[str, Any], storage: dict[str, Any], jobs: dict[str, Any] | None = None, *sources: Path
) -> Staged:
    """Check and index every split of every evaluation set: `<set>/<split>/manifest.parquet` and so on, and sets.json."""
    ingest, places = read(IngestSettings, settings, "ingest"), read(Storage, storage, "storage")
    workers = _workers(ingest, jobs)
    sets = {name: (one.root, one.splits) for name, one in ingest.evaluation.items()}

    def write(out: Path, scans: Path) -> None:
        from superbatch.evaluation.store import ingest_evaluation_sets

        found = ingest_evaluation_sets(sets, out, jobs=workers, max_pixels=ingest.max_pixels, scans=scans)
        for name, splits in found.items():
            for split, summary in splits.items():
                validate(f"ingest.evaluation.{name}", summary, ingest.evaluation[name].expect, out / name / split)

    thresholds = {name: plain(one.expect) for name, one in ingest.evaluation.items()}
    judged = [
        Judged(f"ingest.evaluation.{name}", one.expect, Path(name, split))
        for name, one in ingest.evaluation.items()
        for split in one.splits
    ]
    files = signed(_evaluation_files(sets), "evaluation", workers, places)
    mark = ["evaluation", EVALUATION_FORMAT, sets, files, thresholds, *_reading(ingest)]
    return _build("evaluation", "evaluation sets", fingerprint(mark), write, judged, ingest, places)


def _workers(ingest: IngestSettings, jobs: dict[str, Any] | None) -> JobsSettings:
    return read(JobsSettings, jobs, "jobs").of_stage(ingest.jobs)


def _ingest_set(
    name: str, settings: SetSettings, ingest: IngestSettings, workers: JobsSettings, places: Storage
) -> Staged:
    """Ingest a training set unless the same shards were ingested under the same expectations."""
    shards = expand_shards(settings.shards, f"ingest.{name}.shards")

    def write(out: Path, scans: Path) -> None:
        from superbatch.data.ingest import ingest as ingest_shards

        summary = ingest_shards(shards, out, jobs=workers, max_pixels=ingest.max_pixels, scans=scans)
        validate(f"ingest.{name}", summary, settings.expect, out)

    files = signed(shards, name, workers, places)
    mark = fingerprint([name, FORMAT, files, plain(settings.expect), *_reading(ingest)])
    return _build(name, f"{name} set", mark, write, [Judged(f"ingest.{name}", settings.expect)], ingest, places)


def _build(
    name: str,
    what: str,
    mark: str,
    write: Callable[[Path, Path], None],
    judged: list[Judged],
    ingest: IngestSettings,
    places: Storage,
) -> Staged:
    """Build a set's directory once. Scans of its shards are kept until it stands: a run that was stopped, or a set that was
    refused for its expectations, reads none of them twice.

    Args:
        name: of its working folders.
        what: for the log.
        mark: its fingerprint.
        write: (directory, folder for scans); fills the directory.
        judged: the sets in it.
        ingest, places: settings.
    """
    stages = Path(places.stages)
    refused, scans = stages / "refused" / name, scans_of(name, places)

    def document(folder: Path) -> None:
        if ingest.data_docs:
            write_docs(Path(places.data_docs) / name, mark, folder, judged)

    def checked(out: Path) -> None:
        check(judged)
        try:
            with kept_if_refused(out, refused):
                write(out, scans)
        except DiskFull:
            raise
        except UserError:
            document(refused)
            raise

    staged = build_once(what, mark, stages, checked)
    shutil.rmtree(scans, ignore_errors=True)
    document(staged.path)
    return staged


def signed(files: Sequence[Place], name: str, workers: JobsSettings, places: Storage) -> list[list[str]]:
    """Name each file and its content; a set's files are read for it once, and again where they seem to have changed. Objects of a
    store go by size and mark.
    """
    from superbatch.data.scans import shard_digests

    digests = shard_digests(files, scans_of(name, places), workers)
    return [[str(file), digest] for file, digest in zip(files, digests, strict=True)]


def scans_of(name: str, places: Storage) -> Path:
    """Where the scans of a set's shards are kept until the set stands."""
    return Path(places.stages) / "scans" / name


def _reading(ingest: IngestSettings) -> list[int]:
    """List settings of reading that are not the defaults, so that what was ingested before they were there is still up to date."""
    default = IngestSettings.model_fields["max_pixels"].default
    return [] if ingest.max_pixels == default else [ingest.max_pixels]


def _evaluation_files(sets: dict[str, tuple[str, dict[str, str]]]) -> list[Place]:
    """List the shards of all splits, and the texts beside them."""
    from superbatch.evaluation.sets import split_shards
    from superbatch.evaluation.store import texts_beside

    files = [
        file for root, splits in sets.values() for folder in splits.values() for file in split_shards(root, folder)
    ]
    return files + [file for root, _ in sets.values() for file in texts_beside(root)]
