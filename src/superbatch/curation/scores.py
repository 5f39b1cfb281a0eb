"""The table of scores that the stage `curate` writes, a row a row of the pool, a column a score; and reading it some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from superbatch.artifacts.scratch import PIECE
from superbatch.data.manifest import read_batches
from superbatch.errors import UserError, did_you_mean

Scores: TypeAlias = pa.Table | pq.ParquetFile  # in memory, or on disk, where they stay

SCORES = "curation.parquet"
MANIFEST_KEY = b"superbatch.manifest"  # in the metadata of scores and decisions: the pool's fingerprint

SCORES_SCHEMA = pa.schema(
    [
        pa.field("reference_cosine", pa.float32()),  # of image and first caption
        pa.field("characters", pa.int32()),  # of the first caption, as the next five
        pa.field("words", pa.int32()),
        pa.field("script", pa.string()),
        pa.field("script_share", pa.float32()),
        pa.field("repetition", pa.float32()),
        pa.field("caption_rows", pa.int32()),
        pa.field("shorter_side", pa.int32()),
        pa.field("aspect_ratio", pa.float32()),
        pa.field("flatness", pa.float32()),
        pa.field("hash", pa.uint64()),
        pa.field("same_file", pa.int64()),  # the first row of the group, as the next two
        pa.field("same_hash", pa.int64()),
        pa.field("same_embedding", pa.int64()),
        pa.field("neighbour_cosine", pa.float32()),
        pa.field("text_cluster", pa.int32()),
        pa.field("text_cluster_rows", pa.int32()),
        pa.field("evaluation_file", pa.int8()),  # the nearest evaluation image, as the next two
        pa.field("evaluation_bits", pa.uint8()),
        pa.field("evaluation_cosine", pa.float32()),
        pa.field("draw", pa.float32()),
    ]
)


def rows_of(scores: Scores) -> int:
    """Return how many rows a table has."""
    return int(scores.num_rows if isinstance(scores, pa.Table) else scores.metadata.num_rows)


def columns(scores: Scores, names: Sequence[str]) -> Iterator[tuple[pa.Array, ...]]:
    """Read some columns, some rows at a time; a name may be there twice."""
    own = list(dict.fromkeys(names))
    if isinstance(scores, pa.Table):
        batches = iter(scores.select(own).to_batches(max_chunksize=PIECE))
    else:
        batches = read_batches(scores, own, PIECE)
    return (tuple(batch.column(name) for name in names) for batch in batches)


def numbers(scores: Scores, names: Sequence[str]) -> Iterator[tuple[np.ndarray, ...]]:
    """Read some columns of numbers, some rows at a time."""
    return (tuple(map(plain, found)) for found in columns(scores, names))


def plain(column: pa.Array) -> np.ndarray:
    """Return a piece of a column as an array."""
    found: np.ndarray = column.to_numpy(zero_copy_only=False)
    return found


def require_column(scores: Scores, name: str, where: str, words: bool = False) -> None:
    """Refuse a column that can't be gone by.

    Raises:
        UserError: it is not there, or holds numbers where words are asked for, or the reverse.
    """
    schema = schema_of(scores)
    if name not in schema.names:
        raise UserError(where, f"no score is called {name!r}", did_you_mean(name, schema.names))
    if pa.types.is_string(schema.field(name).type) != words:
        what = f"{name} holds {'numbers' if words else 'words'}"
        raise UserError(where, what, f"use {'at_least, at_most or best_share' if words else 'among'}")


def schema_of(scores: Scores) -> pa.Schema:
    """Return a table's schema, with its metadata."""
    return scores.schema if isinstance(scores, pa.Table) else scores.schema_arrow
