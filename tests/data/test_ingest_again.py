"""Ingestion that was stopped goes on with the shards it had not finished, and ends with the same bytes."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from shard_helpers import encode, noise, pairs, tar_bytes

from superbatch.data import scans
from superbatch.data.ingest import ingest
from superbatch.data.shards import ScanSettings, ShardScan, scan_shard
from superbatch.errors import UserError

FILES = ("manifest.parquet", "rejects.parquet", "summary.json")
BAD = [("bad.png", b"no picture"), ("bad.txt", b"c")]
KILLED = """
import os, signal, sys
from pathlib import Path
from superbatch.data import scans
from superbatch.data.ingest import ingest

def scan(shard, settings):
    if len(list(kept.glob("*.arrow"))) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(shard, settings)

folder, kept, whole = Path(sys.argv[1]), Path(sys.argv[1]) / "scans", scans.scan_shard
scans.scan_shard = scan
ingest(sorted(folder.glob("*.tar")), folder / "out", scans=kept)
"""


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """Five shards: one with a bad sample, one with nothing good, one with a key of an earlier one."""
    contents = [pairs(4), pairs(3, first=4) + BAD, BAD, pairs(3, first=6), pairs(2, first=20)]
    for number, members in enumerate(contents):
        (tmp_path / f"{number}.tar").write_bytes(tar_bytes(members))
    return sorted(tmp_path.glob("*.tar"))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the shards that were really read."""
    names: list[str] = []

    def scan(shard: Path, settings: ScanSettings) -> ShardScan:
        names.append(shard.name)
        return scan_shard(shard, settings)

    monkeypatch.setattr(scans, "scan_shard", scan)
    yield names
    names.clear()


def same(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in FILES)


def test_a_run_that_was_killed_reads_only_the_unfinished_shards(
    shards: list[Path], tmp_path: Path, read: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    with caplog.at_level(logging.INFO):
        ingest(shards, tmp_path / "out", scans=tmp_path / "scans")
    assert read == ["3.tar", "4.tar"]
    assert "ingest: 3 of 5 shards had been read already" in caplog.messages
    ingest(shards, tmp_path / "never killed")
    assert same(tmp_path / "out", tmp_path / "never killed")


@pytest.mark.parametrize("jobs", [1, 2])
def test_nothing_is_read_twice(shards: list[Path], tmp_path: Path, read: list[str], jobs: int) -> None:
    ingest(shards, tmp_path / "one", jobs=jobs, scans=tmp_path / "scans")
    read.clear()
    ingest(shards, tmp_path / "two", scans=tmp_path / "scans")
    ingest(shards, tmp_path / "three", jobs=jobs)
    assert read == ([shard.name for shard in shards] if jobs == 1 else [])
    assert same(tmp_path / "one", tmp_path / "two") and same(tmp_path / "one", tmp_path / "three")


def test_stopped_at_every_rename_and_started_again(
    shards: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(shards, tmp_path / "whole")
    replace, steps = os.replace, len(shards) + len(FILES)
    for last in range(steps):
        left = iter(range(last))

        def stop(source: object, target: object, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            replace(source, target)  # type: ignore[arg-type]

        folder = tmp_path / str(last)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("os.replace", stop)
            ingest(shards, folder / "out", scans=folder / "scans")
        assert not list(folder.rglob("*.tmp")) and not (folder / "out/manifest.parquet").exists()
        ingest(shards, folder / "out", scans=folder / "scans")
        assert same(folder / "out", tmp_path / "whole")


def test_changed_shards_and_settings_are_read_again(shards: list[Path], tmp_path: Path, read: list[str]) -> None:
    kept = tmp_path / "scans"
    ingest(shards, tmp_path / "out", scans=kept)
    read.clear()
    shards[1].write_bytes(tar_bytes([*pairs(3, first=4), ("new.png", encode(noise(9))), ("new.txt", b"new")]))
    assert ingest(shards, tmp_path / "out", scans=kept)["rows"] == 12
    assert read == ["1.tar"]
    read.clear()
    ingest(shards, tmp_path / "out", scans=kept, max_pixels=1_000)
    assert len(read) == len(shards)


def test_a_scan_that_cannot_be_read_is_made_again(shards: list[Path], tmp_path: Path, read: list[str]) -> None:
    ingest(shards, tmp_path / "one", scans=tmp_path / "scans")
    read.clear()
    for kept in (tmp_path / "scans").iterdir():
        kept.write_bytes(kept.read_bytes()[:100])
    ingest(shards, tmp_path / "two", scans=tmp_path / "scans")
    assert len(read) == len(shards) and same(tmp_path / "one", tmp_path / "two")


def test_a_killed_process_is_told(shards: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    def killed(*_: object) -> object:
        raise TerminatedWorkerError("a worker process was killed")

    monkeypatch.setattr(scans, "scan_shard", killed)
    with pytest.raises(
        UserError, match=r"\.tar: the process that worked on it died 3 times.*; use fewer \(jobs\.workers\)"
    ):
        ingest(shards, tmp_path / "out", scans=tmp_path / "scans")
