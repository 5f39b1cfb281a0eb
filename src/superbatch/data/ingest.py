"""Shards into a set: manifest, rejects and summary, in parallel over shards."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from superbatch.artifacts.atomic import atomic_path, told_if_full, write_json
from superbatch.data.manifest import (
    MANIFEST_FILE,
    REJECTS_FILE,
    REJECTS_SCHEMA,
    SUMMARY_FILE,
    one_array,
    write_manifest,
)
from superbatch.data.reasons import REMEDIES
from superbatch.data.scans import scan_once, scan_paths
from superbatch.data.scripts import script_shares
from superbatch.data.shards import ScanSettings, ShardScan
from superbatch.errors import UserError
from superbatch.jobs.units import Told, run_units
from superbatch.options.jobs import JobsSettings
from superbatch.stores.address import Address, Place, place_named

log = logging.getLogger(__name__)
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)


def ingest(
    shards: Sequence[Path | Address],
    out: Path,
    *,
    jobs: int | JobsSettings = 1,
    min_rows: int = 1,
    captions_per_line: bool = False,
    require_caption: bool = True,
    max_pixels: int = ScanSettings.max_pixels,
    scans: Path | None = None,
) -> dict[str, Any]:
    """Check and index every sample of some shards.

    Args:
        shards: tars, files or objects of a store, in the order in which their samples get row numbers.
        out: a directory; `manifest.parquet`, `rejects.parquet` and `summary.json` are written to it.
        jobs: processes that read shards, or by which back end they are read.
        min_rows: fewer samples than that are an error.
        captions_per_line: .txt holds several captions, one a line.
        require_caption: a sample without .txt is rejected.
        max_pixels: larger images are rejected.
        scans: a folder that keeps what each finished shard gave. Ingestion that was killed, or that ended in an error, reads only
            the other shards when it is called with the same folder again; remove it when the set is done.

    Returns:
        The summary: counts, shares of rejects by reason, distributions, the fingerprint.

    Raises:
        UserError: no shards, an unreadable shard, one whose reader dies again and again, a full disk; fewer than
            `min_rows` samples: rejects and summary are written even then.
    """
    if not shards:
        raise UserError("shards", "the list is empty", "name at least one .tar")
    settings = ScanSettings(captions_per_line, require_caption, max_pixels)
    found = _scan_all([place_named(str(shard)) for shard in shards], settings, JobsSettings.of(jobs), scans)
    manifest, rejects = _merge(found)
    sizes = {scan.shard: scan.size for scan in found}
    marks = {scan.shard: scan.mark for scan in found if scan.mark}
    return _write(Path(out), manifest, rejects, sizes, marks, min_rows)


def _scan_all(
    shards: Sequence[Place], settings: ScanSettings, jobs: JobsSettings, folder: Path | None
) -> list[ShardScan]:
    paths = scan_paths(shards, settings, folder, jobs)
    known = sum(path is not None and path.is_file() for path in paths)
    if known:
        log.info("ingest: %s of %s shards had been read already", f"{known:,}", f"{len(shards):,}")
    units = [(shard, settings, path) for shard, path in zip(shards, paths, strict=True)]
    told = Told("ingest", "shard")
    found = dict(run_units(_scan, units, jobs, told, name=lambda unit: str(unit[0])))
    return [found[number] for number in range(len(units))]


def _scan(unit: tuple[Place, ScanSettings, Path | None]) -> ShardScan:
    return scan_once(*unit)


def _merge(scans: list[ShardScan]) -> tuple[pa.Table, pa.Table]:
    """Join the shards' tables. A sample whose key is in an earlier shard moves to the rejects."""
    manifest = pa.concat_tables([scan.manifest for scan in scans])
    rejects = pa.concat_tables([scan.rejects for scan in scans])
    first: dict[str, int] = {}
    duplicates = [(i, j) for i, key in enumerate(manifest["key"].to_pylist()) if (j := first.setdefault(key, i)) != i]
    if not duplicates:
        return manifest, rejects
    positions, firsts = (np.array(column) for column in zip(*duplicates, strict=True))
    # A filter goes chunk by chunk; `take` would join the chunks, and text of more than 2 GiB can't be joined.
    is_moved = _mask(manifest.num_rows, positions)
    rows = manifest.select(["key", "shard", "offset", "members"]).filter(pa.array(is_moved)).to_pylist()
    distinct, places = np.unique(firsts, return_inverse=True)
    earlier = manifest["shard"].filter(pa.array(_mask(manifest.num_rows, distinct))).to_pylist()
    moved = [_duplicate(row, earlier[place]) for row, place in zip(rows, places.tolist(), strict=True)]
    table = pa.Table.from_pylist(moved, REJECTS_SCHEMA)
    return manifest.filter(pa.array(~is_moved)), pa.concat_tables([rejects, table])


def _mask(count: int, rows: np.ndarray) -> np.ndarray:
    mask = np.zeros(count, bool)
    mask[rows] = True
    return mask


def _duplicate(row: dict[str, Any], earlier: str) -> dict[str, Any]:
    return {**row, "names": [], "unread": 0, "code": "duplicate_key", "detail": f"{earlier} has the key"}


def _write(
    out: Path, manifest: pa.Table, rejects: pa.Table, sizes: dict[str, int], marks: dict[str, str], min_rows: int
) -> dict[str, Any]:
    """Write the three files, the manifest last. An old manifest is removed first, so it never stands beside files of another set."""
    with told_if_full(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / MANIFEST_FILE).unlink(missing_ok=True)
    with atomic_path(out / REJECTS_FILE) as temporary:
        pq.write_table(rejects, temporary, compression="zstd")
    summary = summarise(manifest, rejects, len(sizes), sum(sizes.values()))
    write_json(out / SUMMARY_FILE, summary)
    if manifest.num_rows < max(min_rows, 1):
        raise UserError(str(out / REJECTS_FILE), _too_few(summary, sizes, min_rows), _remedy(summary))
    write_manifest(out / MANIFEST_FILE, manifest, sizes, marks)
    return summary


def _too_few(summary: dict[str, Any], sizes: dict[str, int], min_rows: int) -> str:
    reasons = (
        ", ".join(f"{code} {count:,}" for code, count in summary["rejected_by_reason"].items()) or "nothing rejected"
    )
    first = next(iter(sizes))
    shards = first if len(sizes) == 1 else f"{len(sizes):,} shards from {first} on"
    return f"{summary['rows']:,} usable samples in {shards} (rejected: {reasons}), {max(min_rows, 1):,} are needed"


def _remedy(summary: dict[str, Any]) -> str:
    """Say what to do about the most frequent reason, and which file lists the reason of each sample."""
    code = next(iter(summary["rejected_by_reason"]), None)
    more = "this file has each sample's reason"
    return f"{code}: {REMEDIES[code]}; {more}" if code else more


def summarise(manifest: pa.Table, rejects: pa.Table, shards: int, size: int) -> dict[str, Any]:
    """Return the statistics that a set is judged by.

    Shares: `rejected_share` is rejects over rows and rejects together, `unread_shard_share` the shards that were not read
    whole, `unread_byte_share` the bytes in which members may be lost over all bytes, `duplicate_image_share` the rows whose image
    bytes an earlier row has, `distinct_caption_share` distinct captions over captions, `scripts` the letters of each
    script over all letters of the captions. Quantiles are at 0, 5, 50, 95 and 100 %.
    """
    rows, entries = manifest.num_rows, rejects.num_rows
    captions = one_array(manifest["captions"]).flatten()
    reasons = dict(Counter(rejects["code"].to_pylist()).most_common())
    lengths = pc.utf8_length(captions).to_numpy(zero_copy_only=False)
    shorter = np.minimum(*(manifest[side].to_numpy() for side in ("width", "height")))
    return {
        "shards": shards,
        "bytes": size,
        "members": _total(manifest) + _total(rejects),
        "rows": rows,
        "rejected": entries,
        "rejected_share": entries / max(rows + entries, 1),
        "rejected_by_reason": reasons,
        **unread_shares(rejects, shards, size),
        "duplicate_image_share": 1 - pc.count_distinct(manifest["sha256"]).as_py() / rows if rows else 0.0,
        "captions": len(captions),
        "distinct_captions": pc.count_distinct(captions).as_py(),
        "distinct_caption_share": pc.count_distinct(captions).as_py() / max(len(captions), 1),
        "caption_characters": _quantiles(lengths),
        "shorter_side": _quantiles(shorter),
        "scripts": script_shares(captions),
        "labels": pc.count_distinct(manifest["label"], mode="only_valid").as_py(),
        "formats": dict(Counter(manifest["format"].to_pylist()).most_common()),
        "notes": dict(Counter(one_array(manifest["notes"]).flatten().to_pylist()).most_common()),
    }


def unread_shards(rejects: pa.Table) -> pa.Table:
    """Return the rejects that tell of something unread: a stretch of bytes, or an end that isn't there."""
    return rejects.filter(pc.or_(pc.greater(rejects["unread"], 0), pc.equal(rejects["code"], "shard_truncated")))


def unread_shares(rejects: pa.Table, shards: int, size: int) -> dict[str, Any]:
    """Return which part of a set's shards and bytes was not read, and why: shards by reason, the commonest first."""
    told = unread_shards(rejects)
    reasons = Counter(code for _, code in set(zip(told["shard"].to_pylist(), told["code"].to_pylist(), strict=True)))
    return {
        "unread_shard_share": pc.count_distinct(told["shard"]).as_py() / max(shards, 1),
        "unread_byte_share": (pc.sum(told["unread"]).as_py() or 0) / max(size, 1),
        "unread_shards_by_reason": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
    }


def _total(table: pa.Table) -> int:
    return int(pc.sum(table["members"]).as_py() or 0)


def _quantiles(values: np.ndarray) -> list[float]:
    return [float(q) for q in np.quantile(values, QUANTILES)] if len(values) else []
