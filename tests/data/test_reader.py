"""Images by row: from shards and packed, the same; and what happens when a shard changes."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shard_helpers import encode, noise, pairs, tar_bytes

from superbatch.data import reader as reader_module
from superbatch.data.ingest import ingest
from superbatch.data.manifest import Manifest, read_manifest
from superbatch.data.reader import ImageReader, PackedPixels, centre_square, pack_pixels
from superbatch.data.verify import changed_rows
from superbatch.errors import UserError


def test_pixels_are_those_of_the_files(manifest: Manifest) -> None:
    images = ImageReader(manifest, 8).read(np.array([7, 0, 7]))
    assert images.shape == (3, 3, 8, 8) and images.dtype == np.uint8 and images.flags.c_contiguous
    for image, seed in zip(images, (7, 0, 7), strict=True):
        assert np.array_equal(image, np.asarray(noise(seed)).transpose(2, 0, 1))
    assert ImageReader(manifest, 8).read(np.array([], np.int64)).shape == (0, 3, 8, 8)


def test_file_bytes(manifest: Manifest) -> None:
    assert ImageReader(manifest, 8).read_bytes(11) == encode(noise(11))


def test_centre_square() -> None:
    wide = np.zeros((4, 8, 3), np.uint8)
    wide[:, 2:6] = 200
    assert (centre_square(wide, 4) == 200).all() and centre_square(wide, 2).shape == (2, 2, 3)
    assert (centre_square(wide.transpose(1, 0, 2), 4) == 200).all()
    same = np.asarray(noise())
    assert np.shares_memory(centre_square(same, 8), same)


@given(height=st.integers(8, 40), width=st.integers(8, 40))
@settings(deadline=None, max_examples=60)
def test_a_square_of_the_right_size_is_cut_as_pillow_resizes_it(height: int, width: int) -> None:
    """The short cut changes no pixel."""
    image, side = noise(1, width, height), min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    pillows = image.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    assert np.array_equal(centre_square(np.asarray(image), side), np.asarray(pillows))


def test_resizing_is_that_of_open_clip_within_rounding() -> None:
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    image = noise(3, 6, 5).resize((120, 90), Image.Resampling.BICUBIC)
    theirs = Compose([Resize(32, InterpolationMode.BICUBIC, antialias=True), CenterCrop(32)])(image)
    ours = centre_square(np.asarray(image), 32)
    assert np.abs(ours.astype(int) - np.asarray(theirs).astype(int)).mean() < 3


@pytest.mark.parametrize("jobs", [1, 2])
def test_packed_pixels_are_the_readers(
    manifest: Manifest, tmp_path: Path, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "ROWS_PER_TASK", 5)
    reader = ImageReader(manifest, 16)
    facts = pack_pixels(reader, tmp_path / "pixels", jobs)
    packed = PackedPixels(tmp_path / "pixels", manifest.fingerprint)
    assert (
        facts == {"manifest": manifest.fingerprint, "image_size": 16, "rows": 12}
        and len(packed) == 12
        and packed.image_size == 16
    )
    rows = np.array([11, 4, 4, 0])
    for view in (packed, pickle.loads(pickle.dumps(packed)), pickle.loads(pickle.dumps(reader))):
        assert np.array_equal(view.read(rows), reader.read(rows))


def test_packed_pixels_of_another_set(manifest: Manifest, tmp_path: Path) -> None:
    pack_pixels(ImageReader(manifest, 8), tmp_path / "pixels")
    with pytest.raises(UserError, match=f"belongs to manifest {manifest.fingerprint}, this run reads other"):
        PackedPixels(tmp_path / "pixels", "other")


def test_forked_readers_read_the_same(manifest: Manifest) -> None:
    from torch.utils.data import DataLoader

    reader = ImageReader(manifest, 8)
    expected = reader.read(np.arange(12))  # opens the descriptors before the fork
    parts = DataLoader(Rows(reader), batch_size=None, num_workers=2)  # type: ignore[arg-type]
    assert np.array_equal(np.concatenate([np.asarray(part) for part in parts]), expected)


class Rows:
    def __init__(self, reader: ImageReader) -> None:
        self.reader = reader

    def __len__(self) -> int:
        return 12

    def __getitem__(self, row: int) -> np.ndarray:
        return self.reader.read(np.array([row]))


@pytest.fixture
def own_set(tmp_path: Path) -> tuple[Path, Manifest]:
    shard = tmp_path / "x.tar"
    shard.write_bytes(tar_bytes(pairs(2)))
    ingest([shard], tmp_path / "out")
    return shard, read_manifest(tmp_path / "out")


def test_a_shard_that_is_gone_or_changed(own_set: tuple[Path, Manifest]) -> None:
    shard, manifest = own_set
    data = shard.read_bytes()
    shard.write_bytes(data + bytes(512))
    with pytest.raises(
        UserError, match=r"x\.tar: has 10,752 bytes, at ingestion it had 10,240; run the ingest stage again"
    ):
        ImageReader(manifest, 8).read(np.array([0]))
    shard.unlink()
    with pytest.raises(UserError, match=r"x\.tar: can't be opened \(No such file"):
        ImageReader(manifest, 8).read(np.array([0]))


def test_an_image_that_rotted(own_set: tuple[Path, Manifest]) -> None:
    shard, manifest = own_set
    data = bytearray(shard.read_bytes())
    data[manifest.column("offset")[1].as_py() + 60] ^= 0xFF
    shard.write_bytes(data)
    reader = ImageReader(manifest, 8)
    reader.read(np.array([0]))
    with pytest.raises(UserError, match=r"x\.tar, key 00001: the image can't be read"):
        reader.read(np.array([1]))


def open_shards(folder: Path) -> int:
    """Count this process's open files that are shards; pyarrow may keep a manifest open until it is collected."""
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    found = [os.readlink(link) for link in links if os.path.lexists(link)]
    return sum(name.startswith(str(folder)) and name.endswith(".tar") for name in found)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files through /proc")
def test_open_files_stay_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "MAX_OPEN_SHARDS", 2)
    shards = []
    for i in range(5):
        shards.append(tmp_path / f"{i}.tar")
        shards[i].write_bytes(tar_bytes(pairs(1, first=i)))
    ingest(shards, tmp_path / "out")
    reader = ImageReader(read_manifest(tmp_path / "out"), 8)
    for _ in range(2):
        reader.read(np.arange(5))
        assert open_shards(tmp_path) == 2
    del reader
    assert open_shards(tmp_path) == 0


def test_a_set_under_another_root(
    own_set: tuple[Path, Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ingest([Path("x.tar")], tmp_path / "relative")
    (tmp_path / "moved").mkdir()
    (tmp_path / "x.tar").rename(tmp_path / "moved/x.tar")
    manifest = read_manifest(tmp_path / "relative", root=tmp_path / "moved")
    assert manifest.column("shard").dictionary.to_pylist() == ["x.tar"]
    assert ImageReader(manifest, 8).read(np.array([0])).shape == (1, 3, 8, 8)


def test_a_set_that_is_read_from_another_folder(
    own_set: tuple[Path, Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ingest([Path("x.tar")], tmp_path / "relative")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    with pytest.raises(UserError) as caught:
        ImageReader(read_manifest(tmp_path / "relative"), 8).read(np.array([0]))
    assert str(caught.value) == (
        f"x.tar: can't be opened (No such file or directory in {tmp_path / 'other'}); work in the folder where the set was "
        "ingested; if this is it, put the shard back, or run the ingest stage again"
    )


def test_an_image_that_was_exchanged_for_one_of_equal_size_is_found(own_set: tuple[Path, Manifest]) -> None:
    """The size of the shard is the same and the new image decodes well; only its checksum tells."""
    shard, manifest = own_set
    exchange(shard, manifest, 0)
    line = (
        f"{shard}, key 00000: the image is not the one that was ingested (its checksum differs); `kedro run "
        "--pipelines=verify` looks at every image; put the shard back, or touch it and run the ingest stage again"
    )
    reader = ImageReader(manifest, 8)
    for one in (reader, pickle.loads(pickle.dumps(reader))):
        with pytest.raises(UserError) as caught:
            one.read(np.array([1, 0]))
        assert str(caught.value) == line
    assert reader.read(np.array([1])).shape == (1, 3, 8, 8)


def exchange(shard: Path, manifest: Manifest, row: int) -> None:
    """Flip the last byte of a PNG's trailing checksum: Pillow reads it all the same."""
    stat, place = shard.stat(), manifest.places[row]
    data = bytearray(shard.read_bytes())
    data[int(place["offset"]) + int(place["length"]) - 1] ^= 1
    shard.write_bytes(data)
    os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_one_row_in_sixteen_has_its_checksum_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.tar").write_bytes(tar_bytes(pairs(40)))
    ingest([tmp_path / "x.tar"], tmp_path / "out")
    reader, looked = ImageReader(read_manifest(tmp_path / "out"), 8), []
    whole = reader_module._has_digest
    monkeypatch.setattr(
        reader_module, "_has_digest", lambda data, digest: (looked.append(data), whole(data, digest))[1]
    )
    reader.read(np.arange(40))
    assert looked == [encode(noise(row)) for row in (0, 16, 32)]


def test_a_set_that_was_ingested_before_there_were_checksums_beside_it(own_set: tuple[Path, Manifest]) -> None:
    shard, manifest = own_set
    (digests,) = manifest.path.parent.glob("digests-*.npy")
    digests.unlink()
    assert read_manifest(manifest.path.parent).digests is None
    exchange(shard, manifest, 0)
    assert ImageReader(read_manifest(manifest.path.parent), 8).read(np.array([0])).shape == (1, 3, 8, 8)
    assert changed_rows(manifest) == [0]
