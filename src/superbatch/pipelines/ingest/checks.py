"""What ingestion would refuse, found before the first set is read, which may take hours."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from superbatch.bounds import require
from superbatch.config import IngestSettings, SetSettings, read
from superbatch.errors import UserError
from superbatch.files import expand_shards
from superbatch.pipelines.sources import is_rendered
from superbatch.stores.address import is_address

log = logging.getLogger(__name__)
VALIDATION = "validation"


def check_sources(ingest: dict[str, Any], sets: Collection[str]) -> None:
    """Look for the shards and folders of sets; warn where the curated set is a part of the pool.

    What a stage renders need not be there yet, and a store is not asked.

    Args:
        ingest: `params:ingest`.
        sets: which are ingested, of `pool.set`, `curated.set`, `evaluation.sets`.

    Raises:
        UserError: a shard, a folder or a split that is not there.
    """
    settings = read(IngestSettings, ingest, "ingest")
    pool = _shards("pool", settings.pool) if "pool.set" in sets else set()
    curated = _shards("curated", settings.curated) if "curated.set" in sets else set()
    if "evaluation.sets" in sets:
        for fault in missing_splits(settings):
            raise fault
    both = sorted(pool & curated)
    if both:
        log.warning(
            "ingest: the curated set has shards of the pool, such as %s: a reference that learned the pool's rows, noise and all, can't tell "
            "which are worth learning; name shards of pairs that you trust in ingest.curated.shards",
            both[0],
        )


def missing_splits(settings: IngestSettings) -> Iterator[UserError]:
    """Say of each evaluation set which of its splits, or whether its folder, is not there. What is rendered or in a store is not looked for."""
    for name, one in settings.evaluation.items():
        where = f"ingest.evaluation.{name}"
        if is_rendered(one.root) or is_address(one.root):
            continue
        if not Path(one.root).is_dir():
            remedy = "correct the path (it counts from the project's folder)"
            yield UserError(f"{where}.root", f"{one.root}: no such folder", remedy)
            continue
        faults = (_fault(f"{where}.splits.{split}", one.root, folder) for split, folder in one.splits.items())
        yield from filter(None, faults)


def _fault(where: str, root: str, split: str) -> UserError | None:
    from superbatch.evaluation.sets import PATTERN, split_shards  # torch comes with it

    try:
        split_shards(root, split)
    except UserError as error:
        place = "" if error.where == PATTERN else f"{error.where}: "
        return UserError(where, f"{place}{error.what}", error.remedy)
    return None


def check_validation(ingest: dict[str, Any]) -> None:
    """Refuse evaluation sets none of which has a split that can be looked at during training.

    Args:
        ingest: `params:ingest`.

    Raises:
        UserError: just that.
    """
    there = any(VALIDATION in one.splits for one in read(IngestSettings, ingest, "ingest").evaluation.values())
    what = f"no set has a split {VALIDATION!r}, which trainings are measured on"
    remedy = "name one, as in splits: {validation: val, test: test}; a single split may be named twice"
    require(there, "ingest.evaluation", what, remedy)


def _shards(name: str, one: SetSettings) -> set[str]:
    """Return a set's shards by name; patterns that can't be expanded yet stay as given."""
    patterns = [one.shards] if isinstance(one.shards, str) else one.shards
    unseen = {pattern for pattern in patterns if is_rendered(pattern) or is_address(pattern)}
    mine = [pattern for pattern in patterns if pattern not in unseen]
    return unseen | (set(map(str, expand_shards(mine, f"ingest.{name}.shards"))) if mine else set())
