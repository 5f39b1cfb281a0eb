"""Columns that need not fit into memory: plain where they are small, in a file without a name where they are not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from superbatch.artifacts import scratch as module
from superbatch.artifacts.scratch import new_npy, pieces, scratch, scratch_folder
from superbatch.errors import DiskFull


@pytest.mark.parametrize("in_memory", [0, 1 << 20])
def test_a_column_is_what_was_written_and_leaves_no_file(
    in_memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", in_memory)
    monkeypatch.setattr(module, "scratch_folder", lambda: str(tmp_path))
    monkeypatch.setattr(module, "PIECE", 7)
    zeros, ones = scratch(50, np.int64), scratch(50, np.float32, fill=-1)
    zeros[10:20] = np.arange(10)
    assert zeros.sum() == 45 and (ones == -1).all() and ones.dtype == np.float32
    assert isinstance(zeros.base, np.memmap) == (in_memory == 0) and not list(tmp_path.iterdir())
    assert len(scratch(0, np.int64)) == 0


def test_pieces_are_all_rows_in_order() -> None:
    assert [(piece.start, piece.stop) for piece in pieces(10, 4)] == [(0, 4), (4, 8), (8, 10)]
    assert not list(pieces(0))


def test_where_columns_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(module, "LASTING", tmp_path)
    assert scratch_folder() == str(tmp_path), "not /tmp, which may be memory"
    monkeypatch.setattr(module, "LASTING", tmp_path / "missing")
    assert Path(scratch_folder()).is_dir()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: os.environ["TMPDIR"])
    assert scratch_folder() == str(tmp_path)


def test_no_room_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "IN_MEMORY", 0)
    monkeypatch.setattr(module, "scratch_folder", lambda: str(tmp_path))
    monkeypatch.setattr(module.os, "posix_fallocate", full)
    with pytest.raises(DiskFull, match=r"has no room for 4\.0 GB of numbers a row; make room, or set TMPDIR"):
        scratch(500_000_000, np.int64)


def test_a_file_has_its_space_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written to through its map, a sparse file on a full disk would kill the process."""
    found = new_npy(tmp_path / "a.npy", np.int32, (300, 100))
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= found.nbytes
    found[7] = 5
    found.flush()
    assert np.array_equal(np.load(tmp_path / "a.npy"), found) and found.sum() == 500

    def full(*_: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(module.os, "posix_fallocate", full)
    with pytest.raises(
        DiskFull, match=r"a\.npy: the disk has no room for its 0\.1 MB; make room and give the same command again"
    ):
        new_npy(tmp_path / "a.npy", np.int32, (300, 100))
