"""Nodes of the stage `ingest`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from superbatch.config import IngestSettings, SetSettings, Storage, Thresholds, read
from superbatch.errors import UserError
from superbatch.files import atomic_directory, expand_shards, fingerprint, write_json
from superbatch.stages import Staged, build_once

FORMAT = 1  # raised when the same shards give another manifest
EXPECTATIONS = "expectations.json"  # what Great Expectations found, beside the manifest


def ingest_pool(simweb: Path, settings: dict[str, Any], storage: dict[str, Any]) -> Staged:
    """Check and index the pool: manifest.parquet, rejects.parquet, summary.json, expectations.json.

    Args:
        simweb: the embedded default data; an edge only, the shards are those of `params:ingest`.
        settings: `params:ingest`.
        storage: `params:storage`.
    """
    ingest = read(IngestSettings, settings, "ingest")
    return _ingest_set("pool", ingest.pool, ingest.jobs, storage)


def ingest_curated(simweb: Path, settings: dict[str, Any], storage: dict[str, Any]) -> Staged:
    """Check and index the curated set, as the pool."""
    ingest = read(IngestSettings, settings, "ingest")
    return _ingest_set("curated", ingest.curated, ingest.jobs, storage)


def ingest_evaluation(simweb: Path, settings: dict[str, Any], storage: dict[str, Any]) -> Staged:
    """Check and index every split of every evaluation set: `<set>/<split>/manifest.parquet` and so on, and sets.json."""
    ingest, stages = read(IngestSettings, settings, "ingest"), Path(read(Storage, storage, "storage").stages)
    sets = {name: (one.root, one.splits) for name, one in ingest.evaluation.items()}

    def write(out: Path) -> None:
        from superbatch.evaluation.store import ingest_evaluation_sets

        with kept_if_refused(out, stages / "refused" / "evaluation"):
            for name, splits in ingest_evaluation_sets(sets, out, jobs=ingest.jobs).items():
                for split, summary in splits.items():
                    validate(f"ingest.evaluation.{name}", summary, ingest.evaluation[name].expect, out / name / split)

    thresholds = {name: one.expect for name, one in ingest.evaluation.items()}
    return build_once(
        "evaluation sets", fingerprint(["evaluation", FORMAT, sets, _evaluation_files(sets), thresholds]), stages, write
    )


def _ingest_set(name: str, settings: SetSettings, jobs: int, storage: dict[str, Any]) -> Staged:
    """Ingest a training set unless the same shards were ingested under the same expectations."""
    shards, stages = (
        expand_shards(settings.shards, f"ingest.{name}.shards"),
        Path(read(Storage, storage, "storage").stages),
    )

    def write(out: Path) -> None:
        from superbatch.data.ingest import ingest

        with kept_if_refused(out, stages / "refused" / name):
            validate(f"ingest.{name}", ingest(shards, out, jobs=jobs), settings.expect, out)

    return build_once(f"{name} set", fingerprint([name, FORMAT, signed(shards), settings.expect]), stages, write)


def validate(name: str, summary: dict[str, Any], expect: Thresholds, out: Path) -> None:
    """Judge a set through Great Expectations, write what it found, and stop on a set that fails.

    Raises:
        UserError: an expectation that is not met.
    """
    from superbatch.curation.expectations import DEFAULT_THRESHOLDS, require_valid, validate_set
    from superbatch.data.manifest import REJECTS_FILE

    found = validate_set(summary, {**DEFAULT_THRESHOLDS, **expect}, f"{name}.expect")
    write_json(out / EXPECTATIONS, found)
    require_valid(name, found, out / REJECTS_FILE)


@contextmanager
def kept_if_refused(out: Path, place: Path) -> Iterator[None]:
    """Keep what was found about a set that is refused: rejects and reasons, which the message then names where they lie.

    Args:
        out: where the set is being built; it is removed when the error passes.
        place: where its files are kept until the next refusal.
    """
    try:
        yield
    except UserError as error:
        with atomic_directory(place) as directory:
            shutil.copytree(out, directory, dirs_exist_ok=True)
        raise UserError(
            *(part.replace(str(out), str(place)) for part in (error.where, error.what, error.remedy))
        ) from None


def signed(files: list[Path]) -> list[list[Any]]:
    """Name each file's content without reading it: path, size, time of change (pools are too large to hash at every run)."""
    return [[str(file), stat.st_size, stat.st_mtime_ns] for file, stat in ((file, file.stat()) for file in files)]


def _evaluation_files(sets: dict[str, tuple[str, dict[str, str]]]) -> list[list[Any]]:
    """Sign the shards of all splits, and the text files beside them: class names and templates decide a result too."""
    from superbatch.evaluation.sets import split_shards

    files = [
        file for root, splits in sets.values() for folder in splits.values() for file in split_shards(root, folder)
    ]
    return signed(files + [file for root, _ in sets.values() for file in sorted(Path(root).glob("*.txt"))])
