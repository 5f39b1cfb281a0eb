"""The columns that a set is judged by, out of manifest and rejects: a row a sample or reject, and a row a shard.

Legend: N samples of the manifest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from superbatch.data.ingest import unread_shards
from superbatch.data.manifest import MANIFEST_FILE, MANIFEST_SCHEMA, Manifest, one_array, read_rejects

FINE, READ = "no", "read"  # what stands in `rejected` and `unread` where nothing is wrong
_TEXT = (pa.string(), pa.large_string())
REJECTED, SAME_IMAGE, NOTES, UNREAD = "rejected", "same_image_as", "notes", "unread"


def entry_table(folder: Path, names: Iterable[str]) -> pa.Table:
    """Return `key` and some columns of a set's entries, the samples of its manifest first, then its rejects.

    Args:
        folder: of the set. Without a manifest (too few samples) there are rejects alone.
        names: `rejected` (the reason, FINE for a sample), and what is null for rejects: `same_image_as` (the key of the first
            sample with the image, empty for that one itself), `notes` (joined by commas), and the names of MEASURES.
    """
    rejects = read_rejects(folder).select(["key", "code"])
    columns = {"key": pa.chunked_array([*_read(folder, ["key"])["key"].chunks, *rejects["key"].chunks], pa.string())}
    for name in dict.fromkeys(names):
        if name == REJECTED:
            fine = pa.array([FINE]).take(pa.array(np.zeros(len(columns["key"]) - len(rejects), np.int64)))
            column = pa.chunked_array([fine, *rejects["code"].chunks], pa.string())
        else:
            values = _COLUMNS[name](folder)
            column = pa.chunked_array([values, pa.nulls(len(rejects), values.type)])
        columns[name] = pc.dictionary_encode(one_array(column)) if column.type in _TEXT else column
    return pa.table(columns)


def shard_table(folder: Path) -> pa.Table:
    """Return `key` (the shard's path) and `unread` of a set's shards: why a shard was not read whole; READ if it was."""
    told = unread_shards(read_rejects(folder))
    reasons = dict(
        zip(told["shard"].to_pylist()[::-1], told["code"].to_pylist()[::-1], strict=True)
    )  # the first counts
    path = Path(folder) / MANIFEST_FILE
    shards = list(dict.fromkeys([*(Manifest(path).shard_sizes if path.is_file() else ()), *reasons]))
    return pa.table({"key": pa.array(shards, pa.string()), UNREAD: pa.array([reasons.get(s, READ) for s in shards])})


def _read(folder: Path, names: list[str]) -> pa.Table:
    path = Path(folder) / MANIFEST_FILE
    schema = pa.schema([MANIFEST_SCHEMA.field(name) for name in names])
    return Manifest(path).table(names) if path.is_file() else schema.empty_table()


def _caption_characters(folder: Path) -> pa.Array:
    captions = one_array(_read(folder, ["captions"])["captions"])
    lengths = pc.list_value_length(captions).to_numpy(zero_copy_only=False)
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    first = captions.flatten().take(pa.array(starts, mask=lengths == 0))
    return pc.utf8_length(first)


def _sides(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    table = _read(folder, ["width", "height"])
    width_N, height_N = (table[name].to_numpy() for name in ("width", "height"))
    return np.minimum(width_N, height_N), np.maximum(width_N, height_N)


def _shorter_side(folder: Path) -> pa.Array:
    return pa.array(_sides(folder)[0])


def _aspect_ratio(folder: Path) -> pa.Array:
    shorter_N, longer_N = _sides(folder)
    return pa.array(longer_N / shorter_N, pa.float64())


def _same_image_as(folder: Path) -> pa.Array:
    table = _read(folder, ["key", "sha256"])
    keys, images_N = (
        one_array(table["key"]),
        pc.dictionary_encode(table["sha256"].combine_chunks()).indices.to_numpy(),
    )
    _, first = np.unique(images_N, return_index=True)
    first_N = first[images_N]
    own = first_N == np.arange(len(first_N))
    return pc.fill_null(keys.take(pa.array(first_N, mask=own)), "")


def _notes(folder: Path) -> pa.Array:
    return pc.binary_join(_read(folder, ["notes"])["notes"].combine_chunks(), ",")


MEASURES: dict[str, Callable[[Path], pa.Array]] = {
    "caption_characters": _caption_characters,  # of the first caption, the one that is trained on
    "shorter_side": _shorter_side,
    "aspect_ratio": _aspect_ratio,  # longer over shorter side
}
_COLUMNS = MEASURES | {SAME_IMAGE: _same_image_as, NOTES: _notes}
