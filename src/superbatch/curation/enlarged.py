"""A curated set with rows of a pool added: one manifest over the shards of both, which are left as they are, and beside it where each row is from.

Rows of the curated set come first and keep their numbers; those of the pool follow in their order. A caption that was replaced stands in
the manifest alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from superbatch.artifacts.atomic import atomic_path
from superbatch.data.manifest import MANIFEST_FILE, MANIFEST_SCHEMA, Manifest, write_manifest

ORIGINS = "origins.parquet"
CURATED, CHOSEN, RECAPTIONED = "curated", "chosen", "recaptioned"  # why a row is there

ORIGINS_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),  # of the enlarged set's manifest
        pa.field("set", pa.string(), nullable=False),  # curated or pool
        pa.field("set_row", pa.int64(), nullable=False),  # its row there
        pa.field("reason", pa.string(), nullable=False),
        pa.field("score", pa.float32()),  # cosine of image and its first caption, as the pool has it, by the reference
        pa.field("cluster", pa.int32()),  # of that caption
        pa.field("caption_before", pa.string()),  # the pool's, where another one took its place
    ]
)


@dataclass(frozen=True)
class Added:
    """Rows of the pool that join a curated set.

    Attributes:
        rows: of the pool, int64 (n,), ascending.
        scores, clusters: of each, float32 and int32 (n,).
        captions: that take the place of their own, by row of the pool.
    """

    rows: np.ndarray
    scores: np.ndarray
    clusters: np.ndarray
    captions: dict[int, str]


def write_enlarged(out: Path, curated: Manifest, pool: Manifest, added: Added) -> str:
    """Write the manifest of a curated set with rows of a pool, and where each row is from, into a directory.

    Returns:
        The manifest's fingerprint.
    """
    joined = _rows_of(pool, added.rows)
    table = pa.concat_tables([_rows_of(curated, np.arange(len(curated))), _recaptioned(joined, added)])
    used = set(pc.unique(table["shard"]).to_pylist())
    sizes = {name: size for name, size in (curated.shard_sizes | pool.shard_sizes).items() if name in used}
    marks = {name: mark for name, mark in (curated.shard_marks | pool.shard_marks).items() if name in used}
    with atomic_path(out / ORIGINS) as temporary:
        pq.write_table(_origins(len(curated), joined, added), temporary, compression="zstd")
    return write_manifest(out / MANIFEST_FILE, table, sizes, marks)


def read_origins(directory: Path) -> pa.Table:
    """Read where the rows of an enlarged set are from (`ORIGINS_SCHEMA`)."""
    return pq.read_table(directory / ORIGINS)


def known_images(pool: Manifest, others: Iterable[Manifest]) -> np.ndarray:
    """Tell which rows of a pool have an image that stands, byte by byte, in another set; bool (N,)."""
    known = pa.array(chain.from_iterable(one.column("sha256").to_pylist() for one in others), pa.binary(32))
    parts = [pc.is_in(batch.column(0), value_set=known) for batch in pool.batches(["sha256"])]
    found: np.ndarray = pa.chunked_array(parts, pa.bool_()).to_numpy()
    return found


def image_numbers(pool: Manifest) -> np.ndarray:
    """Number a pool's images: rows of equal images have equal numbers; int32 (N,)."""
    found: np.ndarray = pc.dictionary_encode(pool.column("sha256")).indices.to_numpy()
    return found


def _rows_of(manifest: Manifest, rows: np.ndarray) -> pa.Table:
    """Read some rows of a manifest, ascending, a piece of the file at a time."""
    return pa.Table.from_batches(_pieces(manifest, rows), MANIFEST_SCHEMA)


def _pieces(manifest: Manifest, rows: np.ndarray) -> Iterator[pa.RecordBatch]:
    start = 0
    for batch in pq.ParquetFile(manifest.path).iter_batches():
        low, high = np.searchsorted(rows, [start, start + len(batch)])
        if low < high:
            yield batch.take(pa.array(rows[low:high] - start)).cast(MANIFEST_SCHEMA)
        start += len(batch)


def _recaptioned(table: pa.Table, added: Added) -> pa.Table:
    """Put the captions in their places."""
    if not added.captions:
        return table
    own = table["captions"].to_pylist()
    captions = [
        [added.captions[row]] if row in added.captions else old
        for row, old in zip(added.rows.tolist(), own, strict=True)
    ]
    place = table.schema.get_field_index("captions")
    return table.set_column(place, MANIFEST_SCHEMA.field(place), pa.array(captions, pa.list_(pa.string())))


def _origins(curated: int, joined: pa.Table, added: Added) -> pa.Table:
    """List where each row comes from; rows of the curated set have no score."""
    rows = added.rows.tolist()
    before = [(captions or [""])[0] for captions in joined["captions"].to_pylist()]
    reasons = [RECAPTIONED if row in added.captions else CHOSEN for row in rows]
    none: list[Any] = [None] * curated
    columns = {
        "row": np.arange(curated + len(rows)),
        "set": ["curated"] * curated + ["pool"] * len(rows),
        "set_row": [*range(curated), *rows],
        "reason": [CURATED] * curated + reasons,
        "score": none + added.scores.tolist(),
        "cluster": none + added.clusters.tolist(),
        "caption_before": none
        + [old if row in added.captions else None for row, old in zip(rows, before, strict=True)],
    }
    return pa.table(columns, ORIGINS_SCHEMA)
