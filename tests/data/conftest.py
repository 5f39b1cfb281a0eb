"""Shards and ingested sets for the tests of this room."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from shard_helpers import Members, pairs, tar_bytes

from superbatch.data.ingest import ingest
from superbatch.data.manifest import Manifest, read_manifest


@pytest.fixture
def write_tar(tmp_path: Path) -> Callable[..., Path]:
    """Write members (or the bytes of an archive) as a shard and return its path."""

    def write(members: Members | bytes, name: str = "00000.tar", form: int = tarfile.USTAR_FORMAT) -> Path:
        path = tmp_path / name
        path.write_bytes(members if isinstance(members, bytes) else tar_bytes(members, form))
        return path

    return write


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Twelve samples in two shards."""
    root = tmp_path_factory.mktemp("set")
    for number in range(2):
        (root / f"{number}.tar").write_bytes(tar_bytes(pairs(6, first=6 * number)))
    ingest([root / "0.tar", root / "1.tar"], root / "out")
    return read_manifest(root / "out")
