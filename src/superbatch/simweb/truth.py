"""Where the truth about a simulated pool lies."""

from __future__ import annotations

from pathlib import Path

from superbatch.data.manifest import Manifest


def find_truth(pool: Manifest) -> Path | None:
    """Return the truth about a pool's pairs, if its maker left one: `<folder>/truth/pool.parquet` of shards in `<folder>/pool`."""
    places = map(pool.shard_path, pool.shard_sizes)
    folders = {place.parent.parent for place in places if isinstance(place, Path)}
    found = [folder / "truth" / "pool.parquet" for folder in sorted(folders)]
    return next((file for file in found if file.is_file()), None)
