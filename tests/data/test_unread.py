"""Shards that can't be read, or not whole, are figures of the set, in shards and in bytes."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from shard_helpers import Members, encode, noise, pairs, tar_bytes

from superbatch.data import tar
from superbatch.data.ingest import ingest
from superbatch.data.manifest import read_rejects


def headers(data: bytes) -> list[int]:
    return [i for i in range(0, len(data), 512) if data[i + 257 : i + 262] == b"ustar"]


def big(number: int) -> Members:
    return [(f"{number:05d}.png", encode(noise(number, 64, 64))), (f"{number:05d}.txt", b"noise")]


def test_three_shards_gzipped_and_one_cut_are_not_one_reject(tmp_path: Path) -> None:
    shards = []
    for number in range(10):
        data = tar_bytes(pairs(20, first=20 * number))
        data = gzip.compress(data) if number in (2, 5, 7) else data[: len(data) // 3] if number == 8 else data
        (tmp_path / f"{number}.tar").write_bytes(data)
        shards.append(tmp_path / f"{number}.tar")
    summary = ingest(shards, tmp_path / "out")
    assert summary["rejected_share"] < 0.05 and summary["rows"] < 130  # as if nothing had happened
    assert summary["unread_shard_share"] == 0.4
    assert summary["unread_shards_by_reason"] == {"shard_compressed": 3, "shard_truncated": 1}
    gone = sum(shards[number].stat().st_size for number in (2, 5, 7))
    assert gone / summary["bytes"] < summary["unread_byte_share"] < (gone + 4_096) / summary["bytes"]


@pytest.mark.parametrize("kind", ["member", "header", "between", "damage", "behind", "foreign", "whole", "joined"])
def test_unread_bytes_of_one_shard(tmp_path: Path, kind: str) -> None:
    data = tar_bytes(pairs(4))
    at = headers(data)
    damaged = bytearray(data)
    damaged[at[3]] ^= 0x80
    made, unread, code = {
        "member": (data[: at[9] + 515], 515, "shard_truncated"),
        "header": (data[: at[9] + 100], 100, "shard_truncated"),
        "between": (data[: at[9]], 0, "shard_truncated"),
        "damage": (bytes(damaged), at[4] - at[3], "header_corrupt"),
        "behind": (data + b"x" * 700, 700, "trailing_data"),
        "foreign": (b"%PDF" * 999, 3_996, "shard_not_tar"),
        "whole": (data, 0, None),
        "joined": (data + tar_bytes(pairs(2, first=9)), 0, None),
    }[kind]
    (tmp_path / "x.tar").write_bytes(made)
    (tmp_path / "y.tar").write_bytes(tar_bytes(pairs(1, first=20)))
    summary = ingest([tmp_path / "x.tar", tmp_path / "y.tar"], tmp_path / "out")
    assert summary["unread_byte_share"] == unread / summary["bytes"]
    assert summary["unread_shard_share"] == (0.5 if code else 0)
    assert summary["unread_shards_by_reason"] == ({code: 1} if code else {})


@pytest.mark.parametrize("where", ["behind", "within"])
def test_zeros_of_a_download_that_was_not_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """The file has its size from the start; the part that never came is zeros, which look like the end of the archive."""
    monkeypatch.setattr(tar, "MAX_PADDING", 10_240)
    data = bytearray(tar_bytes([m for i in range(6) for m in big(i)]))
    at = headers(bytes(data))
    end = len(data) if where == "behind" else at[6]
    data[at[4] : end] = bytes(end - at[4])
    (tmp_path / "x.tar").write_bytes(data)
    summary = ingest([tmp_path / "x.tar"], tmp_path / "out")
    assert summary["rows"] == (1 if where == "behind" else 3)  # those beside the hole are not trusted
    code = "trailing_zeros" if where == "behind" else "archive_gap"
    assert summary["unread_shards_by_reason"] == {code: 1}
    assert sum(read_rejects(tmp_path / "out")["unread"].to_pylist()) == end - at[4]
