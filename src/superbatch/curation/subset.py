"""Rows of a set as new WebDataset shards: every member of each sample with its bytes as they are, nothing re-encoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from superbatch.artifacts.atomic import write_json
from superbatch.curation.uids import uids_of, write_uids
from superbatch.data.manifest import Manifest
from superbatch.data.reader import unreadable
from superbatch.data.shards import IMAGE_EXTENSIONS, split_name
from superbatch.data.tar import Member, walk
from superbatch.errors import UserError
from superbatch.stores.address import Place
from superbatch.stores.opening import opened

SHARDS, UIDS, SUMMARY = "shards", "uids.npy", "subset.json"
REMEDY = "run the ingest stage again"
FIXED: dict[str, Any] = {"encoder": False, "keep_meta": True, "mtime": 0, "user": "superbatch", "group": "superbatch"}


@dataclass(frozen=True)
class Wanted:
    """A sample to copy: its key, and where its image begins in the shard, which tells it from one of the same key."""

    key: str
    offset: int


def write_subset(
    manifest: Manifest, rows: np.ndarray, out: Path, shard_size: int, about: dict[str, Any]
) -> dict[str, Any]:
    """Write rows of a set as a list of uids, shards and a summary into a directory.

    Args:
        manifest: the set. rows: int64 (n,), ascending. shard_size: samples a shard.
        about: further facts for the summary.

    Returns:
        What `subset.json` holds.

    Raises:
        UserError: a shard that is missing or not the one that was ingested.
    """
    uids, in_json = uids_of(manifest, rows)
    write_uids(out / UIDS, uids)
    shards = write_shards(out / SHARDS, samples(manifest, rows), shard_size)
    facts = {"rows": len(rows), "uids": len(uids), "uids_from_json": in_json, "uids_from_sha256": len(rows) - in_json}
    summary = about | facts | {"shards": shards}
    write_json(out / SUMMARY, summary)
    return summary


def samples(manifest: Manifest, rows: np.ndarray) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield key and parts (bytes by extension) of some rows, shard by shard, in order of rows inside each."""
    shards, keys, offsets = (column.to_pylist() for column in manifest.take(["shard", "key", "offset"], rows).columns)
    by_shard: dict[str, list[Wanted]] = {}
    for shard, key, offset in zip(shards, keys, offsets, strict=True):
        by_shard.setdefault(shard, []).append(Wanted(key, offset))
    for shard, wanted in by_shard.items():
        yield from _samples_of(manifest.shard_path(shard), wanted, manifest.shard_sizes.get(shard))


def _samples_of(path: Place, wanted: list[Wanted], size: int | None) -> Iterator[tuple[str, dict[str, bytes]]]:
    try:
        with opened(path) as shard:
            stream, length = shard.stream, shard.size
            if size not in (None, length):
                raise UserError(str(path), f"has {length:,} bytes, at ingestion it had {size:,}", REMEDY)
            found = find_members(stream, length, {sample.key for sample in wanted})
            for sample in wanted:
                yield sample.key, _read(stream, path, sample, found.get(sample.key, {}))
    except OSError as error:
        raise unreadable(path, error, "read") from None


def find_members(stream: BinaryIO, length: int, keys: set[str]) -> dict[str, dict[str, Member]]:
    """Find the members of some samples in an archive: by key, then by extension as written.

    A second member of one name begins another sample of that key, as ingestion has it; the first one counts.
    """
    found: dict[str, dict[str, Member]] = {}
    closed: set[str] = set()
    for member in walk(stream, length):
        parts = split_name(member.name) if member.kind == "file" else None
        if parts is None or parts[0] not in keys or parts[0] in closed:
            continue
        members = found.setdefault(parts[0], {})
        if parts[1] in {extension.lower() for extension in members}:
            closed.add(parts[0])
        else:
            members[member.name[len(parts[0]) + 1 :]] = member
    return found


def _read(stream: BinaryIO, path: Place, sample: Wanted, members: dict[str, Member]) -> dict[str, bytes]:
    images = [member for extension, member in members.items() if extension.lower() in IMAGE_EXTENSIONS]
    if [image.data for image in images] != [sample.offset]:
        raise UserError(f"{path}, key {sample.key}", f"its image is not at byte {sample.offset:,}", REMEDY)
    return {name: _bytes(stream, member) for name, member in members.items()}


def _bytes(stream: BinaryIO, member: Member) -> bytes:
    stream.seek(member.data)
    return stream.read(member.size)


def write_shards(folder: Path, samples: Iterator[tuple[str, dict[str, bytes]]], shard_size: int) -> int:
    """Write samples as `00000.tar`, `00001.tar` and so on, under their own keys; returns how many shards.

    The same samples give the same bytes.
    """
    from webdataset.writer import ShardWriter

    first = next(samples, None)  # the writer opens a shard before there is a sample for it
    if first is None:
        return 0
    folder.mkdir(parents=True)
    limits: dict[str, Any] = {"maxcount": shard_size, "maxsize": 2**62, "verbose": 0}
    with ExitStack() as stack:
        # the streams are opened here: the writer would take a path with a colon for a URL
        limits["opener"] = lambda name: stack.enter_context(open(folder / name, "wb"))
        limits["post"] = lambda _: stack.close()
        with ShardWriter("%05d.tar", **limits, **FIXED) as writer:
            for key, parts in chain([first], samples):
                writer.write({"__key__": key, **parts})
    return len(list(folder.glob("*.tar")))
