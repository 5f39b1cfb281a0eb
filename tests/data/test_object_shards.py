"""Sets whose shards lie in a store: the same rows as of local files, from the cache or by ranges, and what changed is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import fsspec
import numpy as np
import pytest

from superbatch.curation.subset import samples
from superbatch.data import objects as module
from superbatch.data.ingest import ingest
from superbatch.data.manifest import read_manifest
from superbatch.data.reader import ImageReader
from superbatch.data.verify import changed_rows
from superbatch.errors import UserError
from superbatch.files import expand_shards
from superbatch.stores.address import Address
from superbatch.stores.cache import ShardCache, use_cache
from tests.data.shard_helpers import pairs, tar_bytes

SHARDS, PAIRS = 4, 20
ROWS = np.random.default_rng(0).permutation(SHARDS * PAIRS)


def put(folder: Path, number: int, first: int) -> None:
    data = tar_bytes(pairs(PAIRS, first))
    (folder / f"{number}.tar").write_bytes(data)
    fsspec.filesystem("memory").pipe(f"/objects/{number}.tar", data)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The shards as files, and the same in a store; no cache is in use."""
    monkeypatch.delenv("SUPERBATCH_SHARD_CACHE", raising=False)
    (tmp_path / "pool").mkdir()
    for number in range(SHARDS):
        put(tmp_path / "pool", number, number * PAIRS)
    ingest(expand_shards(str(tmp_path / "pool" / "*.tar")), tmp_path / "local")
    return tmp_path


@pytest.fixture
def far(here: Path) -> Path:
    ingest(expand_shards("memory://objects/*.tar"), here / "far", scans=here / "scans")
    return here / "far"


def test_ingestion_gives_the_same_set(here: Path, far: Path) -> None:
    local, manifest = read_manifest(here / "local"), read_manifest(far)
    assert manifest.fingerprint == local.fingerprint and manifest.keys == local.keys
    assert list(manifest.shard_sizes) == [f"memory:///objects/{i}.tar" for i in range(SHARDS)]
    assert all(manifest.shard_marks.values()) and len(manifest.shard_marks) == SHARDS
    assert not local.objects and "superbatch.marks" not in str(local._schema.metadata)
    assert manifest.shard_path("memory:///objects/0.tar") == Address("memory:///objects/0.tar")


@pytest.mark.parametrize("limit", [0, 50_000, 10**9])
def test_the_cache_changes_nothing(here: Path, far: Path, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one, with room for one shard, with room for all: the same set and the same pixels."""
    use_cache(ShardCache(here / "cache", limit))
    ingest(expand_shards("memory://objects/*.tar"), here / "again")
    assert (here / "again" / "manifest.parquet").read_bytes() == (far / "manifest.parquet").read_bytes()
    right = ImageReader(read_manifest(here / "local"), 8).read(ROWS)
    reader = ImageReader(read_manifest(here / "again"), 8)
    np.testing.assert_array_equal(reader.read(ROWS), right)
    np.testing.assert_array_equal(reader.read(np.sort(ROWS)), right[np.argsort(ROWS)])
    assert reader.read_bytes(3) == ImageReader(read_manifest(here / "local"), 8).read_bytes(3)
    assert changed_rows(reader.manifest) == []


def test_scans_are_taken_up_again(here: Path, far: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("superbatch.data.scans.scan_shard", lambda *_: pytest.fail("read before"))
    ingest(expand_shards("memory://objects/*.tar"), here / "again", scans=here / "scans")
    assert (here / "again" / "manifest.parquet").read_bytes() == (far / "manifest.parquet").read_bytes()


def test_the_cache_goes_with_the_reader(here: Path, far: Path) -> None:
    cache = ShardCache(here / "cache", 10**9)
    reader = pickle.loads(pickle.dumps(ImageReader(read_manifest(far), 8, cache)))
    reader.read(np.arange(PAIRS))
    assert len(list(cache.folder.glob("*.whole"))) == 1  # one after the other: the whole shard is fetched


def test_rows_at_random_are_requests_and_neighbours_share_one(far: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    true = module.read_parts
    monkeypatch.setattr(module, "read_parts", lambda parts: asked.append(len(parts)) or true(parts))
    monkeypatch.setattr(module, "GAP", 0)
    reader = ImageReader(read_manifest(far), 8)
    reader.read(np.array([70, 2, 40, 2]))
    assert asked == [3]
    monkeypatch.undo()
    monkeypatch.setattr(module, "read_parts", lambda parts: asked.append(len(parts)) or true(parts))
    reader.read(ROWS)
    assert asked == [3, SHARDS]


def test_objects_of_rows(far: Path, here: Path) -> None:
    reader = ImageReader(read_manifest(far), 8)
    assert [known.address.url[-5] for known in reader.objects(np.array([65, 1, 0]))] == ["0", "3"]
    assert len(reader.objects()) == SHARDS and ImageReader(read_manifest(here / "local"), 8).objects(ROWS) == []


def test_a_shard_that_was_exchanged(here: Path, far: Path) -> None:
    put(here / "pool", 2, 500)
    reader = ImageReader(read_manifest(far), 8)
    reader.read(np.arange(2 * PAIRS))
    with pytest.raises(
        UserError, match=r"memory:///objects/2\.tar: was changed since ingestion .*; run the ingest stage again"
    ):
        reader.read(np.array([2 * PAIRS]))


def test_a_shard_that_is_gone(far: Path) -> None:
    fsspec.filesystem("memory").rm("/objects/1.tar")
    with pytest.raises(
        UserError, match=r"memory:///objects/1\.tar: no such object; correct the address, or put the object"
    ):
        ImageReader(read_manifest(far), 8).read(np.array([PAIRS]))


def test_samples_are_copied_out_of_a_store(here: Path, far: Path) -> None:
    rows = np.array([1, 3, 45])
    local = list(samples(read_manifest(here / "local"), rows))
    assert list(samples(read_manifest(far), rows)) == local
    use_cache(ShardCache(here / "cache", 10**9))
    assert list(samples(read_manifest(far), rows)) == local
