"""An exported subset: uids that DataComp's tools would read, shards that ingest to the same samples."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from superbatch.curation.subset import write_subset
from superbatch.curation.uids import UID, uid_of
from superbatch.data.ingest import ingest
from superbatch.data.manifest import Manifest, read_manifest
from superbatch.data.writing import encode_image
from superbatch.errors import UserError

UIDS = {"s1": "00000000000000010000000000000002", "s3": "ffffffffffffffff0000000000000000"}


def picture(number: int) -> bytes:
    return encode_image(np.full((16, 16, 3), 9 * number, np.uint8), "png")


def members(number: int) -> dict[str, bytes]:
    """A sample with an odd caption, JSON whose bytes no writer would choose, and a member that ingestion ignores."""
    key = f"s{number}"
    record = {"key": key} | ({"uid": UIDS[key]} if key in UIDS else {})
    text = ("  " + json.dumps(record, indent=3) + "\n").encode()
    return {"PNG": picture(min(number, 5)), "txt": f" caption {number} \n".encode(), "json": text, "_x.npy": b"\0\1"}


def write_tar(path: Path, entries: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def pool(tmp_path: Path) -> Manifest:
    """Two shards; s2 is there a second time, which ingestion rejects; s6 has the image of s5."""
    first = [(f"a/b/s{n}.{extension}", data) for n in range(5) for extension, data in members(n).items()]
    twice = [("a/b/s2.PNG", picture(20)), ("a/b/s2.txt", b"another")]
    second = [(f"a/b/s{n}.{extension}", data) for n in (5, 6) for extension, data in members(n).items()]
    shards = [write_tar(tmp_path / "0.tar", first + twice), write_tar(tmp_path / "1.tar", second)]
    ingest(shards, tmp_path / "set")
    return read_manifest(tmp_path / "set")


def contents(folder: Path) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as tar:
            found[shard.name] = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    return found


def test_shards_ingest_to_the_same_images_and_captions(pool: Manifest, tmp_path: Path) -> None:
    rows = np.array([0, 2, 3, 4])
    (tmp_path / "out").mkdir()
    summary = write_subset(pool, rows, tmp_path / "out", 3, {"run": "jest"})
    shards = sorted((tmp_path / "out" / "shards").glob("*.tar"))
    assert [shard.name for shard in shards] == ["00000.tar", "00001.tar"] and summary["shards"] == 2
    told = ingest(shards, tmp_path / "again")
    assert told["rejected"] == 0
    columns = ["key", "sha256", "captions", "source"]
    again = read_manifest(tmp_path / "again").frame(columns)
    wanted = pool.frame(columns).iloc[rows].reset_index(drop=True)
    for name in columns:
        assert [str(value) for value in again[name]] == [str(value) for value in wanted[name]], name


def test_every_member_keeps_its_bytes(pool: Manifest, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_subset(pool, np.array([1, 2]), tmp_path / "out", 10, {})
    (shard,) = contents(tmp_path / "out" / "shards").values()
    assert shard == {f"a/b/s{n}.{ext}": data for n in (1, 2) for ext, data in members(n).items()}


def test_uids_are_sorted_pairs_as_datacomps_resharder_reads_them(pool: Manifest, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    summary = write_subset(pool, np.arange(len(pool)), tmp_path / "out", 10, {})
    uids = np.load(tmp_path / "out" / "uids.npy")
    assert uids.dtype == UID == np.dtype("u8,u8")
    assert (uids == np.sort(uids)).all()
    for text in UIDS.values():  # the resharder's own way to look a sample up
        wanted = np.array([divmod(int(text, 16), 2**64)], UID)[0]
        assert np.searchsorted(uids, wanted, "right") - np.searchsorted(uids, wanted, "left") == 1
    by_image = np.array([divmod(int(hashlib.sha256(picture(0)).hexdigest()[:32], 16), 2**64)], UID)[0]
    assert by_image in uids
    assert (summary["uids_from_json"], summary["uids_from_sha256"]) == (2, len(pool) - 2)
    assert summary["uids"] == len(pool) - 1, "s5 and s6 are one image"


@pytest.mark.parametrize(
    "source", [None, "{}", '{"uid": 7}', '{"uid": "not hexadecimal"}', '{"uid": "' + "f" * 33 + '"}']
)
def test_what_is_no_uid_gives_way_to_the_image(source: str | None) -> None:
    assert uid_of(source, b"\1" * 32) == (int("01" * 16, 16), False)


def test_no_rows_give_an_empty_list_and_no_shard(pool: Manifest, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert write_subset(pool, np.array([], np.int64), tmp_path / "out", 10, {})["shards"] == 0
    assert np.load(tmp_path / "out" / "uids.npy").shape == (0,)


def test_a_shard_that_changed_or_went_is_named(pool: Manifest, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with open(tmp_path / "0.tar", "ab") as stream:
        stream.write(bytes(512))
    with pytest.raises(UserError, match=r"0\.tar: has [\d,]+ bytes, at ingestion it had [\d,]+; run the ingest stage"):
        write_subset(pool, np.array([0]), tmp_path / "out", 10, {})
    (tmp_path / "1.tar").unlink()
    (tmp_path / "two").mkdir()
    with pytest.raises(UserError, match=r"1\.tar: can't be read \(No such file"):
        write_subset(pool, np.array([len(pool) - 1]), tmp_path / "two", 10, {})
