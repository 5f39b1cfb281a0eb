"""Which pairs of the pool join the curated set: the best by the reference's score, balanced over clusters, and some with another caption.

Legend: N rows of the pool, C clusters, H held-out curated pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from superbatch.artifacts.atomic import write_json
from superbatch.curation.clusters import check_clusters, effective_number, text_clusters
from superbatch.curation.enlarged import Added, image_numbers, known_images, write_enlarged
from superbatch.curation.groups import kept_count
from superbatch.data.embeddings import EmbeddingCache
from superbatch.data.manifest import Manifest
from superbatch.data.sampling import sampled_rows
from superbatch.errors import UserError
from superbatch.options import BootstrapSettings
from superbatch.tasks.captioner import write_captions
from superbatch.tasks.filtering import best_of_each, quotas

SUMMARY = "enlarged.json"  # counts, beside the manifest
LATER_ON = ("rounds", "metric", "least_gain", "reference")  # settings that do not decide which pairs join


@dataclass(frozen=True)
class Scored:
    """A pool as a reference scores it.

    Attributes:
        pool: its manifest. cache: its embeddings.
        known_H: cosines of curated pairs that the reference was not trained on.
    """

    pool: Manifest
    cache: EmbeddingCache
    known_H: np.ndarray

    def least(self, aligned: float) -> float:
        """Return the score that an aligned pair has at least: that of so many of the held-out curated pairs.

        Raises:
            UserError: there are none.
        """
        if not aligned:
            return -np.inf
        if not len(self.known_H):
            what = "needs curated pairs that were held out from the reference's training, and there are none"
            raise UserError("bootstrap.aligned", what, "set reference.held_out, such as 0.1, or aligned to 0")
        return float(np.quantile(self.known_H, 1 - aligned, method="lower"))


def enlarge(
    out: Path, curated: Manifest, scored: Scored, settings: BootstrapSettings, kept_out: Sequence[Manifest]
) -> None:
    """Write the curated set with pairs of the pool added into a directory: manifest, origins, counts.

    Args:
        out: the directory.
        curated: the first curated set.
        scored: the pool, by the reference that chooses.
        settings: `bootstrap`.
        kept_out: sets whose images must not join, the evaluation sets; those of the curated set never do.

    Raises:
        UserError: more clusters than rows; nothing to choose from; what `write_captions` refuses.
    """
    clusters_fit(settings, len(scored.cache))
    scores_N, cluster_N = scored.cache.pair_scores(), clusters_of(scored.cache, settings.clusters)
    open_N = ~known_images(scored.pool, [curated, *kept_out])
    open_N &= best_of_equal(scores_N, image_numbers(scored.pool), open_N)
    aligned_N = scores_N >= scored.least(settings.aligned)
    rows = choose(scores_N, cluster_N, open_N & aligned_N, kept_count(len(scores_N), settings.share), settings.balance)
    captions = _other_captions(scored.pool, np.flatnonzero(open_N & ~aligned_N), settings)
    joined = np.union1d(rows, np.array(sorted(captions), np.int64))
    write_enlarged(out, curated, scored.pool, Added(joined, scores_N[joined], cluster_N[joined], captions))
    write_json(out / SUMMARY, _counts(curated, rows, captions, open_N, aligned_N, cluster_N))


def clusters_fit(settings: BootstrapSettings, rows: int) -> None:
    """Refuse more clusters than rows.

    Raises:
        UserError: just that.
    """
    if settings.clusters:
        check_clusters(settings.clusters, rows, "bootstrap.clusters")


def most_added(settings: BootstrapSettings, rows: int) -> int:
    """Return how many pairs of a pool of so many rows join at most."""
    again = 0 if settings.captioner is None else kept_count(rows, settings.recaption_share)
    return kept_count(rows, settings.share) + again


def clusters_of(cache: EmbeddingCache, k: int) -> np.ndarray:
    """Return each row's cluster of captions, int32 (N,); all in one where k is 0."""
    return text_clusters(cache, k) if k else np.zeros(len(cache), np.int32)


def best_of_equal(scores_N: np.ndarray, image_N: np.ndarray, open_N: np.ndarray) -> np.ndarray:
    """Tell which of the open rows is the best of those with its image, bool (N,); ties break by row.

    Args:
        scores_N: of each row. image_N: number of each row's image. open_N: rows that may be taken, bool.
    """
    rows = np.flatnonzero(open_N)
    order = rows[np.lexsort((-scores_N[rows], image_N[rows]))]
    found = np.zeros(len(scores_N), bool)
    found[order[np.unique(image_N[order], return_index=True)[1]]] = True
    return found


def choose(scores_N: np.ndarray, cluster_N: np.ndarray, open_N: np.ndarray, most: int, balance: float) -> np.ndarray:
    """Return the best of the open rows, balanced over clusters as a filter is (`filtering.quotas`): so many, or all there are; ascending.

    Raises:
        UserError: no row is open.
    """
    rows = np.flatnonzero(open_N)
    if not len(rows):
        what = "no pair of the pool that is in no other set scores like the held-out curated pairs"
        raise UserError("bootstrap.aligned", what, "raise it, or use a better reference")
    quota_C = quotas(np.bincount(cluster_N[rows]), min(most, len(rows)), balance)
    found: np.ndarray = rows[np.asarray(best_of_each(scores_N[rows], cluster_N[rows], quota_C))]
    return found


def _other_captions(pool: Manifest, failed: np.ndarray, settings: BootstrapSettings) -> dict[int, str]:
    """Get new captions for a random sample of the rows that are not aligned; returns the captions by row."""
    if settings.captioner is None:
        return {}
    sample = sampled_rows(len(failed), kept_count(len(pool), settings.recaption_share), settings.seed)
    return write_captions(settings.captioner, settings.captioner_options, pool, failed[sample])


def _counts(
    curated: Manifest,
    rows: np.ndarray,
    captions: dict[int, str],
    open_N: np.ndarray,
    aligned_N: np.ndarray,
    cluster_N: np.ndarray,
) -> dict[str, Any]:
    """Count what happened to the pool's rows, for the log."""
    return {
        "curated": len(curated),
        "chosen": len(rows),
        "recaptioned": len(captions),
        "pool": len(open_N),
        "in_other_sets_or_twice": int((~open_N).sum()),
        "aligned": int((open_N & aligned_N).sum()),
        "even_pool": round(effective_number(np.bincount(cluster_N)), 1),  # effective number of clusters
        "even_chosen": round(effective_number(np.bincount(cluster_N[rows])), 1),
    }


def deciding_settings(settings: BootstrapSettings) -> dict[str, Any]:
    """Return the settings that decide which pairs join, by name."""
    return {name: value for name, value in vars(settings).items() if name not in LATER_ON}
