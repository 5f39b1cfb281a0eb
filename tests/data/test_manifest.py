"""The manifest as an object: columns, captions, labels, and files that are none."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shard_helpers import encode, noise, tar_bytes

from superbatch.data import manifest as module
from superbatch.data.ingest import ingest
from superbatch.data.manifest import (
    MANIFEST_SCHEMA,
    Manifest,
    content_fingerprint,
    one_array,
    read_batches,
    read_manifest,
    write_manifest,
)
from superbatch.errors import UserError


@pytest.fixture
def uneven(tmp_path: Path) -> Manifest:
    """Rows with two, no, one and three captions."""
    members = []
    for i, text in enumerate(["a\nb", None, "c", "d\ne\nf"]):
        members.append((f"{i}.png", encode(noise(i))))
        members += [(f"{i}.txt", text.encode())] if text else [(f"{i}.cls", b"5")]
    (tmp_path / "x.tar").write_bytes(tar_bytes(members))
    ingest([tmp_path / "x.tar"], tmp_path / "out", captions_per_line=True, require_caption=False)
    return read_manifest(tmp_path / "out")


def test_captions(uneven: Manifest) -> None:
    assert uneven.captions() == [["a", "b"], [], ["c"], ["d", "e", "f"]]
    assert uneven.captions(np.array([3, 1])) == [["d", "e", "f"], []]
    assert uneven.first_captions() == ["a", "", "c", "d"]
    values, offsets = uneven.flat_captions()
    assert values.to_pylist() == list("abcdef") and offsets.tolist() == [0, 2, 2, 3, 6]


def test_columns(uneven: Manifest) -> None:
    assert len(uneven) == 4 and uneven.keys == ["0", "1", "2", "3"]
    assert uneven.labels.tolist() == [-1, 5, -1, -1] and uneven.labels.dtype == np.int64
    assert uneven.frame(["key", "width"]).shape == (4, 2)
    assert uneven.column("shard").dictionary.to_pylist() == list(uneven.shard_sizes)


def test_pickles_as_a_path(uneven: Manifest) -> None:
    uneven.captions()
    data = pickle.dumps(uneven)
    assert len(data) < 1_000 and pickle.loads(data).fingerprint == uneven.fingerprint


def test_fingerprint_ignores_layout_in_memory(uneven: Manifest) -> None:
    table = pq.read_table(uneven.path)
    pieces = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert content_fingerprint(pieces) == content_fingerprint(table) == uneven.fingerprint
    assert content_fingerprint(table.take([1, 0, 2, 3])) != uneven.fingerprint


def test_many_rows_read_in_pieces(tmp_path: Path) -> None:
    """Parquet row groups give chunked columns; a manifest joins them."""
    row = {
        "key": "k",
        "shard": "s.tar",
        "offset": 1,
        "length": 2,
        "format": "png",
        "width": 1,
        "height": 1,
        "captions": ["c"],
        "label": None,
    }
    row |= {"sha256": bytes(32), "members": 2, "source": None, "notes": []}
    table = pa.Table.from_pylist([row | {"key": f"k{number}"} for number in range(5)], MANIFEST_SCHEMA)
    mark = write_manifest(tmp_path / "m.parquet", table, {"s.tar": 9})
    pq.write_table(pq.read_table(tmp_path / "m.parquet"), tmp_path / "m.parquet", row_group_size=2)
    manifest = Manifest(tmp_path / "m.parquet", root=Path("/data"))
    assert (
        manifest.fingerprint == mark
        and manifest.first_captions() == ["c"] * 5
        and manifest.captions(np.array([4])) == [["c"]]
    )
    assert manifest.column("shard").indices.to_numpy().tolist() == [0] * 5
    some = manifest.take(["length", "key"], np.array([4, 0, 3, 3, 1]))
    assert some.to_pydict() == {"length": [2] * 5, "key": ["k4", "k0", "k3", "k3", "k1"]}
    assert manifest.take(["key"], np.array([], np.int64)).num_rows == 0
    assert [batch.to_pydict() for batch in manifest.batches(["key"], 4)][0]["key"][0] == "k0"
    assert sum(len(batch) for batch in manifest.batches(["key"], 4)) == 5
    assert manifest.shard_path("s.tar") == Path("/data/s.tar")


def test_more_text_than_32_bits_count_reads_the_same(uneven: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit, 2 GiB, is lowered to a byte."""
    rows, names = np.array([3, 0, 3, 1]), ["captions", "key", "length"]

    def read() -> list[object]:
        manifest = Manifest(uneven.path)
        values, offsets = manifest.flat_captions()
        lists = [manifest.captions(), manifest.first_captions(), manifest.keys, values.to_pylist(), offsets.tolist()]
        return [*lists, manifest.labels.tolist(), manifest.take(names, rows).to_pydict()]

    small = read()
    monkeypatch.setattr(module, "MOST_TEXT", 1)
    assert read() == small and Manifest(uneven.path).flat_captions()[0].type == pa.large_string()


@pytest.mark.parametrize("limit", [1, 1 << 20])
def test_chunks_are_joined_in_order(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TEXT", limit)
    texts = [["a", "b"], [], ["c"]]
    lists = pa.array(texts, pa.list_(pa.string()))
    found = one_array(pa.chunked_array([lists.slice(1), [], lists, [[]]], lists.type))
    assert found.to_pylist() == texts[1:] + texts + [[]] and found.flatten().to_pylist() == list("cabc")
    assert one_array(pa.chunked_array([["a"], [], [None, "b"]])).to_pylist() == ["a", None, "b"]
    assert one_array(pa.chunked_array([[1], [], [2]])).to_pylist() == [1, 2]
    assert one_array(pa.chunked_array([], pa.string())).to_pylist() == []


def test_batches_that_were_read_are_let_go(tmp_path: Path) -> None:
    """Forty row groups of 80 kB. pyarrow's own iteration over them all holds 4 MB in the end."""
    numbers = np.random.default_rng(0).integers(0, 1 << 62, 400_000)
    pq.write_table(pa.table({"a": numbers, "b": numbers}), tmp_path / "many.parquet", row_group_size=10_000)
    with pq.ParquetFile(tmp_path / "many.parquet") as file:
        before, most, seen = pa.total_allocated_bytes(), 0, []
        for batch in read_batches(file, ["b"], 4_000):
            most = max(most, pa.total_allocated_bytes() - before)
            seen.append(batch.column("b").to_numpy().copy())
    assert most < 1e6 and np.array_equal(np.concatenate(seen), numbers)


def test_files_that_are_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run the ingest stage first"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(UserError, match="is not a Parquet file"):
        read_manifest(tmp_path)
    pq.write_table(pa.table({"x": [1]}), tmp_path / "manifest.parquet")
    with pytest.raises(UserError, match="manifest format None, this version reads 1"):
        read_manifest(tmp_path)


def test_places_beside_the_manifest(uneven: Manifest) -> None:
    """The mapped file and, where it is missing, the columns give the same; neither is taken for another manifest's."""
    columns = pq.read_table(uneven.path, columns=["shard", "offset", "length"]).to_pylist()
    names = list(uneven.shard_sizes)
    places = uneven.places
    assert [(names[p["shard"]], p["offset"], p["length"]) for p in places] == [tuple(row.values()) for row in columns]
    assert isinstance(places, np.memmap)
    (file,) = uneven.path.parent.glob("places-*.npy")
    file.rename(file.with_name("places-other.npy"))
    without = Manifest(uneven.path).places
    file.with_name("places-other.npy").rename(file)
    assert not isinstance(without, np.memmap) and np.array_equal(without, places)


def test_places_of_an_earlier_manifest_go(tmp_path: Path, uneven: Manifest) -> None:
    table = pq.read_table(uneven.path)
    for rows in (table, table.slice(1)):
        write_manifest(tmp_path / "manifest.parquet", rows, uneven.shard_sizes)
        assert len(read_manifest(tmp_path).places) == rows.num_rows
        assert len(list(tmp_path.glob("places-*.npy"))) == 1
