"""The manifest: one row a sample, the row number is its identity; and the rejects beside it.

Both are Parquet. The manifest's schema metadata carries a fingerprint of its content (keys, images, captions, labels;
not where the shards lie) and the size of each shard, of one in a store its mark (etag) too, so that a shard that changed under it is noticed. The places of the
images (shard, offset, length) lie beside it once more as one memory-mapped array, so that a set of any size opens at
once and a row costs one look-up; so do the first 64 bits of the images' checksums, for a look while they are read.

Legend: N rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from superbatch.artifacts.atomic import atomic_path
from superbatch.errors import UserError
from superbatch.files import AGAIN
from superbatch.stores.address import Address, Known, Place, is_address

MANIFEST_FILE, REJECTS_FILE, SUMMARY_FILE = "manifest.parquet", "rejects.parquet", "summary.json"
FORMAT_VERSION = 1
BATCH = 65_536  # rows that are read at a time
MOST_TEXT = (1 << 31) - 1  # bytes of one array of strings: its offsets have 32 bits
DIGEST = np.dtype("V8")  # the first bytes of a SHA-256
PLACE = np.dtype([("offset", "<i8"), ("length", "<u4"), ("shard", "<i4")])  # 16 bytes a row; `shard` counts shard_sizes

MANIFEST_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),  # offset of the image's first byte in the shard
        pa.field("length", pa.int64(), nullable=False),  # of the image, in bytes
        pa.field("format", pa.string(), nullable=False),  # by content: jpeg, png, webp, avif
        pa.field("width", pa.int32(), nullable=False),  # as seen: after EXIF rotation
        pa.field("height", pa.int32(), nullable=False),
        pa.field("captions", pa.list_(pa.string()), nullable=False),
        pa.field("label", pa.int64()),  # of .cls
        pa.field("sha256", pa.binary(32), nullable=False),  # of the image's bytes
        pa.field("members", pa.int32(), nullable=False),  # archive members that belong to the sample
        pa.field("source", pa.string()),  # the text of .json
        pa.field(
            "notes", pa.list_(pa.string()), nullable=False
        ),  # notes on what was corrected: see decode.NOTES and texts.NOTES
    ]
)

REJECTS_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string()),  # null if no name could be read
        pa.field("shard", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),  # of the first header, or of the damage
        pa.field("members", pa.int32(), nullable=False),
        pa.field("names", pa.list_(pa.string()), nullable=False),  # of these members, as far as known
        pa.field("unread", pa.int64(), nullable=False),  # bytes of the shard in which further members may be lost
        pa.field("code", pa.string(), nullable=False),  # see reasons.REASONS
        pa.field("detail", pa.string(), nullable=False),
    ]
)


class Manifest:
    """A manifest on disk; columns are read when they are asked for, and pickling carries the path alone.

    Args:
        path: the Parquet file.
        root: folder that relative shard paths start from; the working directory by default.

    Raises:
        UserError: a file that is missing, isn't a manifest, or is of another format.
    """

    def __init__(self, path: Path, root: Path | None = None) -> None:
        self.path, self.root = Path(path), root
        try:
            self._schema = pq.read_schema(self.path)
        except FileNotFoundError:
            raise UserError(str(self.path), "no such manifest", "run the ingest stage first") from None
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(str(self.path), f"is not a Parquet file ({error})", AGAIN) from None
        metadata = {k.decode(): v.decode() for k, v in (self._schema.metadata or {}).items()}
        version = metadata.get("superbatch.format")
        if version != str(FORMAT_VERSION):
            raise UserError(
                str(self.path),
                f"has manifest format {version}, this version reads {FORMAT_VERSION}",
                "run the ingest stage again",
            )
        self.fingerprint: str = metadata["superbatch.fingerprint"]
        self.shard_sizes: dict[str, int] = json.loads(metadata["superbatch.shards"])
        self.shard_marks: dict[str, str] = json.loads(metadata.get("superbatch.marks", "{}"))  # of those in a store
        self._places_file: str | None = metadata.get("superbatch.places")
        self._digests_file: str | None = metadata.get("superbatch.digests")
        self._columns: dict[str, pa.Array] = {}

    def __reduce__(self) -> tuple[type[Manifest], tuple[Path, Path | None]]:
        return Manifest, (self.path, self.root)

    @cached_property
    def num_rows(self) -> int:
        """Samples in the set."""
        return int(pq.read_metadata(self.path).num_rows)

    def __len__(self) -> int:
        return self.num_rows

    def column(self, name: str) -> pa.Array:
        """Return one column as one array (see `one_array`); `shard` comes dictionary-encoded."""
        if name not in self._columns:
            column = one_array(self.table([name])[name])
            self._columns[name] = pc.dictionary_encode(column) if name == "shard" else column
        return self._columns[name]

    def batches(self, names: list[str], rows: int = BATCH) -> Iterator[pa.RecordBatch]:
        """Read some columns in order of rows, so many rows at a time at most; nothing of it is kept."""
        with pq.ParquetFile(self.path) as file:
            yield from read_batches(file, names, rows)

    def take(self, names: list[str], rows: np.ndarray) -> pa.Table:
        """Read some columns of some rows, in the order that they are given in; only the pieces of the file that hold them are read."""
        order_n = np.argsort(rows, kind="stable")
        parts = [MANIFEST_SCHEMA.empty_table().select(names), *self._parts(names, np.asarray(rows)[order_n])]
        found = pa.concat_tables([part.replace_schema_metadata() for part in parts])
        place_n = np.empty(len(order_n), np.int64)
        place_n[order_n] = np.arange(len(order_n))
        return pa.table({name: one_array(found[name]).take(pa.array(place_n)) for name in names})

    def _parts(self, names: list[str], rows: np.ndarray) -> Iterator[pa.Table]:
        """Read some columns of rows that ascend, a piece of the file at a time."""
        with pq.ParquetFile(self.path) as file:
            sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
            for number, start in enumerate(np.cumsum([0, *sizes[:-1]])):
                groups = [number] if len(_among(rows, start, sizes[number])) else []
                for batch in read_batches(file, names, groups=groups):
                    yield pa.Table.from_batches([batch]).take(pa.array(_among(rows, start, len(batch))))
                    start += len(batch)

    def table(self, names: list[str]) -> pa.Table:
        """Read some columns whole; pyarrow itself reads no row group with more than 2 GiB of text in lists at once."""
        return pa.Table.from_batches(self.batches(names), pa.schema([self._schema.field(name) for name in names]))

    @cached_property
    def objects(self) -> dict[str, Known]:
        """The shards that lie in a store, as they were at ingestion, by name; empty where all are files of this machine."""
        sizes, marks = self.shard_sizes, self.shard_marks
        return {name: Known(Address(name), sizes[name], marks.get(name, "")) for name in sizes if is_address(name)}

    @cached_property
    def places(self) -> np.ndarray:
        """Where each row's image lies: PLACE (N,), memory-mapped; `shard` is a position in `shard_sizes`."""
        path = self.path.parent / self._places_file if self._places_file else None
        if path is not None and path.is_file():
            mapped: np.ndarray = np.load(path, mmap_mode="r")
            return mapped
        table = pq.read_table(self.path, columns=["shard", "offset", "length"], read_dictionary=["shard"])
        return image_places(table, self.shard_sizes)

    @cached_property
    def digests(self) -> np.ndarray | None:
        """The first 8 bytes of each image's SHA-256: DIGEST (N,), memory-mapped; None where ingestion left none (earlier versions)."""
        path = self.path.parent / self._digests_file if self._digests_file else None
        return np.load(path, mmap_mode="r").view(DIGEST) if path is not None and path.is_file() else None

    def frame(self, columns: list[str] | None = None) -> Any:
        """Return a pandas frame of some columns, all by default."""
        return self.table(columns or self._schema.names).to_pandas()

    @cached_property
    def keys(self) -> list[str]:
        """The key of each row."""
        return list(self.column("key").to_pylist())

    @cached_property
    def labels(self) -> np.ndarray:
        """The label of each row, int64, -1 where it has none."""
        labels: np.ndarray = pc.fill_null(self.column("label"), -1).to_numpy(zero_copy_only=False)
        return labels

    def captions(self, rows: np.ndarray | None = None) -> list[list[str]]:
        """Return all captions of some rows, of every row by default."""
        column = self.column("captions") if rows is None else self.take(["captions"], rows)["captions"]
        return list(column.to_pylist())

    def first_captions(self) -> list[str]:
        """Return the first caption of each row; empty where it has none."""
        values, offsets = self.flat_captions()
        starts = pa.array(offsets[:-1], mask=offsets[:-1] == offsets[1:])
        return list(pc.fill_null(values.take(starts), "").to_pylist())

    def flat_captions(self) -> tuple[pa.Array, np.ndarray]:
        """Return all captions one after the other, and where each row's begin.

        The captions are strings, or large strings (see `one_array`). The offsets are int64 (rows + 1,): row r has the captions
        from offsets[r] to offsets[r + 1].
        """
        column = self.column("captions")
        lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
        return column.flatten(), np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

    def shard_path(self, name: str) -> Place:
        """Return where a shard of the `shard` column lies."""
        if is_address(name):
            return Address(name)
        return Path(name) if self.root is None else Path(self.root) / name


def _among(rows: np.ndarray, start: int, count: int) -> np.ndarray:
    """Return which of the `count` rows from `start` on are among some that ascend, counted from `start`."""
    first, last = np.searchsorted(rows, [start, start + count])
    return rows[first:last] - start


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """Join the chunks of a column.

    Where its text exceeds what 32-bit offsets tell apart (2 GiB), strings become large strings, those in lists too; nothing else differs.
    """
    if column.nbytes > MOST_TEXT:
        column = column.cast(_large(column.type))
    return column.combine_chunks()


def _large(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind):
        return pa.list_(_large(kind.value_type))
    return pa.large_string() if pa.types.is_string(kind) else kind


def read_batches(
    file: pq.ParquetFile, names: Sequence[str], rows: int = BATCH, groups: Sequence[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """Read some columns of a Parquet file in order of rows, so many rows at a time at most.

    A row group at a time, all by default: pyarrow keeps what it has read of a file until an iteration over it ends.
    """
    own = list(names)
    for number in range(file.num_row_groups) if groups is None else groups:
        yield from (batch.select(own) for batch in file.iter_batches(rows, row_groups=[number], columns=own))


def read_manifest(directory: Path, root: Path | None = None) -> Manifest:
    """Open the manifest of an ingested set's directory."""
    return Manifest(Path(directory) / MANIFEST_FILE, root)


def read_rejects(directory: Path) -> pa.Table:
    """Read the rejects of an ingested set's directory."""
    return pq.read_table(Path(directory) / REJECTS_FILE)


def content_fingerprint(table: pa.Table) -> str:
    """Return 16 hexadecimal digits over keys, image bytes, captions and labels in row order.

    Shards may move, or be packed anew, without changing it.
    """
    digest = hashlib.sha256()
    for batch in table.select(["key", "sha256", "captions", "label"]).to_batches(max_chunksize=16_384):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            digest.update(repr(row).encode())
    return digest.hexdigest()[:16]


def image_places(table: pa.Table, shard_sizes: dict[str, int]) -> np.ndarray:
    """Return shard, offset and length of each row's image as PLACE (N,)."""
    number = {name: i for i, name in enumerate(shard_sizes)}
    places = np.empty(table.num_rows, PLACE)
    places["offset"], places["length"] = table["offset"].to_numpy(), table["length"].to_numpy()
    end = 0
    for names in pc.dictionary_encode(table["shard"]).chunks:
        numbers = np.array([number[name] for name in names.dictionary.to_pylist()], np.int32)
        start, end = end, end + len(names)
        places["shard"][start:end] = numbers[names.indices.to_numpy()]
    return places


def image_digests(table: pa.Table) -> np.ndarray:
    """Return the first 8 bytes of each row's SHA-256: DIGEST (N,)."""
    parts = [np.empty(0, DIGEST)]
    for chunk in table["sha256"].chunks:
        whole = np.frombuffer(chunk.buffers()[1], np.uint8).reshape(-1, 32)[chunk.offset : chunk.offset + len(chunk)]
        parts.append(np.ascontiguousarray(whole[:, : DIGEST.itemsize]).view(DIGEST)[:, 0])
    return np.concatenate(parts)


def _write_beside(folder: Path, kind: str, values: np.ndarray) -> str:
    """Write an array (`places`, `digests`) beside the manifest and return the file's name, which its content decides.

    The manifest names the file, so that of an earlier manifest is never taken for that of this one.
    """
    name = f"{kind}-{hashlib.sha256(values.tobytes()).hexdigest()[:16]}.npy"
    with atomic_path(folder / name) as temporary, open(temporary, "wb") as stream:
        np.save(stream, values)
    for old in folder.glob(f"{kind}-*.npy"):
        if old.name != name:
            old.unlink()
    return name


def write_manifest(
    path: Path, table: pa.Table, shard_sizes: dict[str, int], marks: Mapping[str, str] | None = None
) -> str:
    """Write a manifest table with its metadata and, beside it, places and checksums of its images; return its fingerprint.

    Args:
        path: the file.
        table: MANIFEST_SCHEMA.
        shard_sizes: bytes of each shard.
        marks: of those shards that lie in a store.
    """
    mark, folder = content_fingerprint(table), Path(path).parent
    metadata = {
        "superbatch.format": str(FORMAT_VERSION),
        "superbatch.fingerprint": mark,
        "superbatch.shards": json.dumps(shard_sizes),
        "superbatch.places": _write_beside(folder, "places", image_places(table, shard_sizes)),
        "superbatch.digests": _write_beside(folder, "digests", image_digests(table).view(np.uint64)),
    }
    if marks:
        metadata["superbatch.marks"] = json.dumps(dict(marks))
    with atomic_path(path) as temporary:
        pq.write_table(table.cast(MANIFEST_SCHEMA).replace_schema_metadata(metadata), temporary, compression="zstd")
    return mark
