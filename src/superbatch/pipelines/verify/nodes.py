"""Nodes of the stage `verify`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from superbatch.config import IngestSettings, read

log = logging.getLogger(__name__)


def verify(pool: Path, curated: Path, evaluation: Path, settings: dict[str, Any]) -> None:
    """Compare every image of all sets with the checksum that ingestion took of it.

    Args:
        pool, curated: ingested sets.
        evaluation: ingested evaluation sets.
        settings: `params:ingest`; its `jobs` processes read.

    Raises:
        UserError: an image that is another one now, or a shard that is missing or of another size.
    """
    from superbatch.data.manifest import MANIFEST_FILE, Manifest
    from superbatch.data.verify import require_unchanged

    jobs = read(IngestSettings, settings, "ingest").jobs
    sets = {"pool": pool, "curated": curated}
    sets |= {
        f"evaluation/{p.parent.relative_to(evaluation)}": p.parent for p in sorted(evaluation.rglob(MANIFEST_FILE))
    }
    for name, folder in sets.items():
        manifest = Manifest(folder / MANIFEST_FILE)
        rows = require_unchanged(manifest, jobs, name)
        log.info("%s: %s images in %s shards, all as ingested", name, f"{rows:,}", f"{len(manifest.shard_sizes):,}")
