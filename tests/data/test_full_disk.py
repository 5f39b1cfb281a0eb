"""A full disk: one line, nothing half-written, and the way on once there is room. On a tmpfs of a few hundred kilobytes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from shard_helpers import pairs, tar_bytes

from superbatch.artifacts.atomic import atomic_directory, atomic_path, write_json
from superbatch.artifacts.stamps import build_once, publish
from superbatch.data.ingest import ingest
from superbatch.data.manifest import read_manifest
from superbatch.data.reader import ImageReader, pack_pixels
from superbatch.data.tokens import tokenize_captions
from superbatch.errors import DiskFull, UserError

PAGE = 4_096
SIZE = 64 * PAGE
FILES = ("manifest.parquet", "rejects.parquet", "summary.json")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of `SIZE` bytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("no mount command here")
    options = f"size={SIZE}"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a tmpfs can't be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def leave(disk: Path) -> Callable[[int], None]:
    """Fill the disk up to some free pages; negative: make room again."""
    ballast = disk / "ballast"

    def fill(pages: int) -> None:
        ballast.unlink(missing_ok=True)
        if pages >= 0:
            free = shutil.disk_usage(disk).free
            ballast.write_bytes(bytes(max(free - pages * PAGE, 0)))

    return fill


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    for number in range(3):
        (tmp_path / f"{number}.tar").write_bytes(
            tar_bytes([*pairs(4, first=4 * number), ("bad.png", b"x"), ("bad.txt", b"c")])
        )
    return sorted(tmp_path.glob("*.tar"))


def refusal(write: Callable[[], object]) -> DiskFull | None:
    try:
        write()
    except DiskFull as error:
        return error
    return None


def unfinished(folder: Path) -> list[Path]:
    return list(folder.rglob("*.tmp"))


@pytest.mark.parametrize("jobs", [1, 2])
def test_ingestion_on_a_disk_that_fills_up(
    shards: list[Path], tmp_path: Path, disk: Path, leave: Callable[[int], None], jobs: int
) -> None:
    ingest(shards, tmp_path / "roomy")
    met = set()
    for pages in range(24) if jobs == 1 else (2,):
        leave(pages)
        error = refusal(lambda: ingest(shards, disk / "out", jobs=jobs, scans=disk / "scans"))
        if error is not None:
            name = Path(error.where).suffix if "scans" in error.where else Path(error.where).name
            met.add(name.partition("-")[0])
            assert str(error).endswith("the disk is full; make room and give the same command again")
            assert not (disk / "out" / FILES[0]).exists()
        assert not unfinished(disk)
        leave(-1)
        ingest(shards, disk / "out", jobs=jobs, scans=disk / "scans")
        assert all((disk / "out" / name).read_bytes() == (tmp_path / "roomy" / name).read_bytes() for name in FILES)
        for folder in ("out", "scans"):
            shutil.rmtree(disk / folder)
    assert met == ({".arrow", "places", "digests", *FILES} if jobs == 1 else {".arrow"}), (
        "the disk was to fill up at every file"
    )


def test_a_stage_on_a_full_disk_leaves_the_old_set_in_place(
    tmp_path: Path, disk: Path, leave: Callable[[int], None]
) -> None:
    stages, target = disk / "stages", disk / "pool"

    def build(mark: str, size: int) -> None:
        publish(build_once("set", mark, stages, lambda folder: write_json(folder / "a", "x" * size)), target)

    build("one", 10)
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    leave(4)
    with pytest.raises(DiskFull):
        build("two", 8 * PAGE)
    assert not unfinished(disk)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    leave(-1)
    build("two", 8 * PAGE)
    assert (target / "a").stat().st_size > 8 * PAGE


def test_a_set_moves_to_another_disk_whole_or_not_at_all(
    tmp_path: Path, disk: Path, leave: Callable[[int], None]
) -> None:
    """The working folder may be on another disk than the data; nothing can be renamed across."""
    target = disk / "pool"
    staged = build_once("set", "one", tmp_path / "stages", lambda folder: write_json(folder / "a", "x" * 8 * PAGE))
    leave(4)
    with pytest.raises(DiskFull, match="pool: the disk is full"):
        publish(staged, target)
    assert not target.exists() and not unfinished(disk) and staged.path.is_dir()
    leave(-1)
    publish(staged, target)
    assert (target / "a").is_file() and (target / "stage.stamp").is_file() and not staged.path.exists()


def test_other_errors_of_the_system_stay_what_they_are(tmp_path: Path) -> None:
    for use in (atomic_path, atomic_directory):
        with pytest.raises(PermissionError), use(tmp_path / "x"):
            raise PermissionError(13, "no")
    assert issubclass(DiskFull, UserError) and not list(tmp_path.iterdir())


def test_what_is_written_through_a_map_does_not_kill_the_process(
    disk: Path, leave: Callable[[int], None], shards: list[Path], tmp_path: Path
) -> None:
    ingest(shards, tmp_path / "set")
    manifest = read_manifest(tmp_path / "set")
    leave(4)
    with pytest.raises(DiskFull, match=r"tokens\.npy: the disk has no room for its 0\.0 MB; make room"):
        tokenize_captions(manifest, lambda texts: np.ones((len(texts), 999), np.int32), 999, disk / "tokens")
    with pytest.raises(DiskFull, match=r"pixels\.npy: the disk has no room for its 0\.1 MB; make room"):
        pack_pixels(ImageReader(manifest, 64), disk / "pixels", kept=tmp_path / "kept")
    assert [path.name for path in disk.iterdir()] == ["ballast"]
