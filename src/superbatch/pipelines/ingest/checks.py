"""What ingestion would refuse, found before the first set is read, which may take hours."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from superbatch.bounds import require
from superbatch.config import IngestSettings, SetSettings, read
from superbatch.files import expand_shards
from superbatch.pipelines.sources import is_rendered
from superbatch.stores.address import is_address

log = logging.getLogger(__name__)


def check_sources(ingest: dict[str, Any], sets: Collection[str]) -> None:
    """Look for the shards and folders of sets; warn where the curated set is a part of the pool.

    What a stage renders need not be there yet, and a store is not asked.

    Args:
        ingest: `params:ingest`.
        sets: which are ingested, of `pool.set`, `curated.set`, `evaluation.sets`.

    Raises:
        UserError: a shard or a folder that is not there.
    """
    settings = read(IngestSettings, ingest, "ingest")
    pool = _shards("pool", settings.pool) if "pool.set" in sets else set()
    curated = _shards("curated", settings.curated) if "curated.set" in sets else set()
    for name, one in settings.evaluation.items() if "evaluation.sets" in sets else ():
        there = is_rendered(one.root) or is_address(one.root) or Path(one.root).is_dir()
        remedy = "correct the path (it counts from the project's folder)"
        require(there, f"ingest.evaluation.{name}.root", f"{one.root}: no such folder", remedy)
    both = sorted(pool & curated)
    if both:
        log.warning(
            "ingest: the curated set has shards of the pool, such as %s: a reference that learned the pool's rows, noise and all, can't tell "
            "which are worth learning; name shards of pairs that you trust in ingest.curated.shards",
            both[0],
        )


def _shards(name: str, one: SetSettings) -> set[str]:
    """Return a set's shards by name; patterns that can't be expanded yet stay as given."""
    patterns = [one.shards] if isinstance(one.shards, str) else one.shards
    unseen = {pattern for pattern in patterns if is_rendered(pattern) or is_address(pattern)}
    mine = [pattern for pattern in patterns if pattern not in unseen]
    return unseen | (set(map(str, expand_shards(mine, f"ingest.{name}.shards"))) if mine else set())
