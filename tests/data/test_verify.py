"""Every image against its checksum: what was exchanged is found, wherever it lies."""

from __future__ import annotations

from pathlib import Path

import pytest
from shard_helpers import pairs, tar_bytes

from superbatch.data import verify
from superbatch.data.ingest import ingest
from superbatch.data.manifest import Manifest, read_manifest
from superbatch.data.verify import changed_rows, require_unchanged
from superbatch.errors import UserError


@pytest.fixture
def own_set(tmp_path: Path) -> Manifest:
    """Three shards of eight; keys of the last are those of the first, so that its rows are not in the manifest."""
    for number, first in enumerate((0, 8, 4)):
        (tmp_path / f"{number}.tar").write_bytes(tar_bytes(pairs(8, first=first)))
    ingest(sorted(tmp_path.glob("*.tar")), tmp_path / "out")
    return read_manifest(tmp_path / "out")


def exchange(manifest: Manifest, *rows: int) -> None:
    for row in rows:
        place = manifest.places[row]
        path = Path(list(manifest.shard_sizes)[place["shard"]])
        data = bytearray(path.read_bytes())
        data[int(place["offset"]) + int(place["length"]) - 1] ^= 1
        path.write_bytes(data)


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_exchanged_image_is_found(own_set: Manifest, monkeypatch: pytest.MonkeyPatch, jobs: int) -> None:
    monkeypatch.setattr(verify, "ROWS_PER_TASK", 5)
    assert changed_rows(own_set, jobs) == [] and require_unchanged(own_set, jobs) == 16
    exchange(own_set, 3, 9, 15)
    assert changed_rows(own_set, jobs) == [3, 9, 15]
    with pytest.raises(UserError) as caught:
        require_unchanged(own_set, jobs)
    assert str(caught.value) == (
        f"{own_set.path.parent.parent}/0.tar, key 00003: the image is not the one that was ingested (its checksum differs); "
        "of 16 images 3 differ, in 2 shards; put the shard back, or touch it and run the ingest stage again"
    )


def test_a_shard_that_is_gone_or_of_another_size(own_set: Manifest) -> None:
    shard = own_set.path.parent.parent / "1.tar"
    data = shard.read_bytes()
    shard.write_bytes(data + bytes(512))
    with pytest.raises(UserError, match=r"1\.tar: has .* bytes, at ingestion it had"):
        changed_rows(own_set)
    shard.unlink()
    with pytest.raises(UserError, match=r"1\.tar: can't be opened"):
        changed_rows(own_set)
