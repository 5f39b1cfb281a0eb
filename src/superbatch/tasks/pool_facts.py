"""Measurements of a pool before a preset is chosen: how much of it scores like curated pairs, its concepts, its duplicates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from superbatch.curation.clusters import effective_number, text_clusters, unit
from superbatch.data.embeddings import EmbeddingCache
from superbatch.data.sampling import sampled_rows
from superbatch.files import read_json
from superbatch.options import PoolSettings
from superbatch.tasks.cached import open_cache
from superbatch.tasks.filtering import with_share
from superbatch.tasks.sets import SetFiles
from superbatch.tasks.trusted import held_out_scores

LIKE = 0.95  # of the held-out curated pairs
CLUSTERS = 64  # of captions; fewer in a pool of fewer rows
SAMPLE = 1_000  # rows whose neighbours are looked for
SEED = 0  # of the sample
NEAR = 0.99  # cosine of two images that look all but the same to the reference


def pool_facts(pool: SetFiles, curated: SetFiles, reference: Path, training: Path) -> dict[str, Any]:
    """Measure a pool by the reference's cached embeddings.

    Args:
        pool, curated: ingested sets with their features. reference, training: the reference's checkpoint and records.

    Returns:
        `reporting.advice.measured.PoolFacts` but for the batch size, by name, as JSON has it.

    Raises:
        UserError: features of another reference or set.
    """
    assert pool.features is not None, "the stage embed fills them"
    manifest = pool.manifest()
    cache = open_cache(pool.features, reference, manifest)
    clusters = min(CLUSTERS, len(cache))
    sizes = np.bincount(text_clusters(cache, clusters), minlength=clusters)
    return {
        "rows": len(cache),
        "like_curated": like_curated(cache, held_out_scores(curated, reference, training)),
        "concepts": effective_number(sizes),
        "clusters": clusters,
        "near_duplicates": near_duplicates(cache, sampled_rows(len(cache), SAMPLE, SEED)),
        "duplicates": float(read_json(pool.directory / "summary.json")["duplicate_image_share"]),
    }


def like_curated(cache: EmbeddingCache, known_H: np.ndarray) -> float | None:
    """Return the share of a pool that scores no lower than nearly all curated pairs that the reference was not trained on.

    Args:
        known_H: cosines of these; with none of them the share is not known.
    """
    if not len(known_H):
        return None
    return with_share(PoolSettings(like_curated=LIKE), cache, known_H).keep_share


def near_duplicates(cache: EmbeddingCache, rows: np.ndarray, near: float = NEAR) -> float:
    """Return the share of some rows whose image has another one in the pool that is all but the same to the reference.

    A reference that tells images badly takes more of them for the same. Memory: the rows by a block of the cache.

    Args:
        rows: int64 (n,), ascending. near: the cosine from which on two images count as the same.
    """
    own_nD, start = unit(cache.images(rows)), 0
    found_n = np.zeros(len(rows), bool)
    for image_ND, _ in cache.blocks():
        cosine_nN = own_nD @ unit(image_ND).T
        here = (rows >= start) & (rows < start + len(image_ND))
        cosine_nN[np.flatnonzero(here), rows[here] - start] = -1.0  # not its own neighbour
        found_n |= (cosine_nN >= near).any(1)
        start += len(image_ND)
    return float(found_n.mean())
