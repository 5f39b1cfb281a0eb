"""Scans of an unfinished ingestion, one file per shard: after a kill, only the unfinished shards are scanned again.

A file holds two Arrow streams, manifest and rejects. It is named by shard (path and content) and settings, so that a
shard that changed is read again, and renamed into place, so that it is there whole or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from superbatch.artifacts.atomic import atomic_path
from superbatch.artifacts.contents import content_digests
from superbatch.artifacts.fingerprints import fingerprint
from superbatch.data.shards import ScanSettings, ShardScan, scan_shard
from superbatch.options.jobs import JobsSettings
from superbatch.stores.address import Address, Place
from superbatch.stores.objects import look_at

FORMAT = 4  # raised when the same shard gives other rows or other rejects


def shard_digests(shards: Sequence[Place], folder: Path, jobs: int | JobsSettings = 1) -> list[str]:
    """Return the SHA-256 of each shard, size and mark of one in a store; those read before are remembered beside the folder of scans, which they outlive.

    Raises:
        UserError: a shard that can't be read.
    """
    return content_digests(shards, folder.with_name(f"{folder.name}.json"), jobs)


def scan_paths(
    shards: Sequence[Place], settings: ScanSettings, folder: Path | None, jobs: int | JobsSettings = 1
) -> list[Path | None]:
    """Return where the scan of each shard is kept; None if it is not kept, because there is no folder or no shard."""
    if folder is None or not all(shard.is_file() for shard in shards if isinstance(shard, Path)):
        return [None] * len(shards)
    digests = zip(shards, shard_digests(shards, folder, jobs), strict=True)
    return [folder / f"{fingerprint([FORMAT, shard.as_posix(), digest, settings])}.arrow" for shard, digest in digests]


def scan_once(shard: Place, settings: ScanSettings, path: Path | None) -> ShardScan:
    """Return what a shard holds, out of the file if it was read before; else read it and keep the result there.

    Args:
        shard: the tar.
        settings: how samples are read.
        path: where its scan is kept; None keeps nothing.

    Raises:
        UserError: as `scan_shard`; a full disk.
    """
    if path is None:
        return scan_shard(shard, settings)
    scan = _read(path, shard)
    if scan is None:
        scan = scan_shard(shard, settings)
        _write(path, scan)
    return scan


def _write(path: Path, scan: ShardScan) -> None:
    with atomic_path(path) as temporary, pa.OSFile(str(temporary), "wb") as stream:
        for table in (scan.manifest, scan.rejects):
            with pa.ipc.new_stream(stream, table.schema) as writer:
                writer.write_table(table)


def _read(path: Path, shard: Place) -> ShardScan | None:
    """Read a scan; None where there is none, or none that can be read."""
    if not path.is_file():
        return None
    try:
        with pa.OSFile(str(path), "rb") as stream:
            manifest, rejects = (pa.ipc.open_stream(stream).read_all() for _ in range(2))
    except (pa.ArrowInvalid, OSError):
        return None
    if isinstance(shard, Address):
        known = look_at(shard)
        return ShardScan(shard.url, known.size, manifest, rejects, known.mark)
    return ShardScan(shard.as_posix(), shard.stat().st_size, manifest, rejects)
