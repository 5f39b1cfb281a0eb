"""Compare every image of a set with the checksum that ingestion took."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
from joblib import Parallel, delayed

from superbatch.data.manifest import Manifest
from superbatch.data.reader import ShardFiles, exchanged
from superbatch.progress import progress
from superbatch.stores.cache import ShardCache, cache_in_use

ROWS_PER_TASK = 4_096

Rows = tuple[int, list[str], list[int], list[int], list[bytes]]  # first row; shard, offset, length, sha256 of each


def changed_rows(manifest: Manifest, jobs: int = 1, name: str = "set") -> list[int]:
    """Return the rows whose image is not the one that was ingested, ascending.

    Args:
        manifest: the set. Its rows are read in their order, so shards from front to back.
        jobs: processes.
        name: of the set, for the progress bar.

    Raises:
        UserError: a shard that is missing, or of another size than at ingestion.
    """
    tasks = -(-manifest.num_rows // ROWS_PER_TASK)
    work = Parallel(jobs, return_as="generator")(
        delayed(_changed)(manifest, part, cache_in_use()) for part in _parts(manifest.path)
    )
    return [row for found in progress(work, total=tasks, description=f"verify {name}", unit="part") for row in found]


def require_unchanged(manifest: Manifest, jobs: int = 1, name: str = "set") -> int:
    """Check every image of a set; returns how many there are.

    Raises:
        UserError: naming the first image that differs, and how many others in how many shards; what `changed_rows` refuses.
    """
    rows = changed_rows(manifest, jobs, name)
    if rows:
        shards = len({int(manifest.places[row]["shard"]) for row in rows})
        raise exchanged(
            manifest, rows[0], f"of {manifest.num_rows:,} images {len(rows):,} differ, in {shards:,} shards"
        )
    return manifest.num_rows


def _parts(path: Path) -> Iterator[Rows]:
    first = 0
    columns = ["shard", "offset", "length", "sha256"]
    for batch in pq.ParquetFile(path).iter_batches(ROWS_PER_TASK, columns=columns):
        yield (first, *(batch[column].to_pylist() for column in columns))  # type: ignore[misc]
        first += len(batch)


def _changed(manifest: Manifest, part: Rows, cache: ShardCache | None) -> list[int]:
    files, (first, *places, digests) = ShardFiles(manifest, cache), part
    wanted = list(zip(*places, strict=True))
    return [
        first + i
        for i, (place, digest, far) in enumerate(zip(wanted, digests, files.read_far(wanted), strict=False))
        if hashlib.sha256(files.read(*place) if far is None else far).digest() != digest
    ]
