"""Arrays in blocks of rows: in order, whole, and none made twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from superbatch.jobs.blocks import Block, folder_of_blocks, make_blocks
from superbatch.options import JobsSettings


class Numbers:
    """Makes a block of numbers, and fails at a row if told so."""

    def __init__(self, fails_at: int = -1) -> None:
        self.made: list[int] = []
        self.fails_at = fails_at

    def __call__(self, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        if start <= self.fails_at < end:
            raise KeyboardInterrupt
        self.made.append(start)
        rows = np.arange(start, end)
        return rows.astype(np.float16), np.stack([rows, rows], 1).astype(np.uint64)


def blocks(make: Numbers, folder: Path, count: int = 10, rows: int = 4) -> list[Block]:
    return make_blocks(make, count, rows, folder, JobsSettings("sequential"), what="numbers", description="count")


def test_blocks_are_the_rows_in_order(tmp_path: Path) -> None:
    found = blocks(Numbers(), tmp_path)
    assert [(block.start, block.end) for block in found] == [(0, 4), (4, 8), (8, 10)]
    one_N, two_N2 = (np.concatenate(part) for part in zip(*(block.read() for block in found), strict=True))
    assert one_N.dtype == np.float16 and two_N2.dtype == np.uint64
    assert one_N.tolist() == list(range(10)) and (two_N2 == np.arange(10)[:, None]).all()
    assert blocks(Numbers(), tmp_path, count=0) == []


def test_what_was_stopped_makes_what_is_missing(tmp_path: Path) -> None:
    stopped, again, other = Numbers(fails_at=9), Numbers(), Numbers()
    with pytest.raises(KeyboardInterrupt):
        blocks(stopped, tmp_path)
    assert stopped.made == [0, 4]
    blocks(again, tmp_path)
    assert again.made == [8]
    blocks(other, tmp_path, rows=5)
    assert other.made == [0, 5], "blocks of another size are others"


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    with folder_of_blocks(None, tmp_path) as folder:
        assert folder.parent == tmp_path and folder.is_dir()
    assert not list(tmp_path.iterdir())
    with folder_of_blocks(tmp_path / "kept") as folder:
        blocks(Numbers(), folder)
    assert len(list((tmp_path / "kept").iterdir())) == 3
