"""Scans of an ingestion under way, a file a shard: one that was killed goes on with the shards it had not finished.

A file holds two Arrow streams, manifest and rejects. It is named by shard (path, size, time of change) and settings, so
that a shard that changed is read again, and renamed into place, so that it is there whole or not at all.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from superbatch.data.shards import ScanSettings, ShardScan, scan_shard
from superbatch.files import atomic_path, fingerprint

FORMAT = 2  # raised when the same shard gives other rows or other rejects


def scan_once(shard: Path, settings: ScanSettings, folder: Path | None) -> ShardScan:
    """Return what a shard holds, out of the folder if it was read before; else read it and keep the result there.

    Args:
        shard: the tar.
        settings: how samples are read.
        folder: where scans are kept; None keeps nothing.

    Raises:
        UserError: as `scan_shard`; a full disk.
    """
    if folder is None or not shard.is_file():
        return scan_shard(shard, settings)
    path = _scan_path(shard, settings, folder)
    scan = _read(path, shard)
    if scan is None:
        scan = scan_shard(shard, settings)
        _write(path, scan)
    return scan


def is_scanned(shard: Path, settings: ScanSettings, folder: Path) -> bool:
    """Whether the scan of a shard, as it is now, is in the folder."""
    return folder.is_dir() and shard.is_file() and _scan_path(shard, settings, folder).is_file()


def _scan_path(shard: Path, settings: ScanSettings, folder: Path) -> Path:
    stat = shard.stat()
    return folder / f"{fingerprint([FORMAT, shard.as_posix(), stat.st_size, stat.st_mtime_ns, settings])}.arrow"


def _write(path: Path, scan: ShardScan) -> None:
    with atomic_path(path) as temporary, pa.OSFile(str(temporary), "wb") as stream:
        for table in (scan.manifest, scan.rejects):
            with pa.ipc.new_stream(stream, table.schema) as writer:
                writer.write_table(table)


def _read(path: Path, shard: Path) -> ShardScan | None:
    """Read a scan; None where there is none, or none that can be read."""
    if not path.is_file():
        return None
    try:
        with pa.OSFile(str(path), "rb") as stream:
            manifest, rejects = (pa.ipc.open_stream(stream).read_all() for _ in range(2))
    except (pa.ArrowInvalid, OSError):
        return None
    return ShardScan(shard.as_posix(), shard.stat().st_size, manifest, rejects)
