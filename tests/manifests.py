"""Manifests made up by hand, for tests that read no image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from superbatch.data.manifest import MANIFEST_FILE, MANIFEST_SCHEMA, Manifest, read_manifest, write_manifest


def write_made_up(folder: Path, images: Sequence[int], name: str, **columns: Sequence[Any]) -> Manifest:
    """Write a set whose images are numbers: equal numbers are equal images. Its shards, ten rows each, are not there.

    Args:
        folder: of the set. images: of its rows. name: folder of its shards, and the first word of its captions.
        columns: of the manifest, in place of made-up ones.
    """
    rows = [
        {
            "key": f"{row:03d}",
            "shard": f"{name}/{row // 10}.tar",
            "offset": 512 * row,
            "length": 100,
            "format": "png",
            "width": 16,
            "height": 16,
            "captions": [f"{name} {row}", "another"],
            "label": None,
            "sha256": image.to_bytes(32, "big"),
            "members": 2,
            "source": None,
            "notes": [],
        }
        | {column: values[row] for column, values in columns.items()}
        for row, image in enumerate(images)
    ]
    folder.mkdir(parents=True)
    shards = {f"{name}/{number}.tar": 10_000 + number for number in range((len(images) + 9) // 10)}
    write_manifest(folder / MANIFEST_FILE, pa.Table.from_pylist(rows, MANIFEST_SCHEMA), shards)
    return read_manifest(folder)
