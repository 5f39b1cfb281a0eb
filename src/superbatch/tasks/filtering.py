"""Which rows of a pool a learner draws from: the best share by the reference's score, of the pool as a whole or cluster by cluster.

The filter over clusters levels concepts as well, as MetaCLIP does (arXiv 2309.16671, there by counting words and at random inside each). Here
a concept is a cluster of captions, and the score decides inside each.

Legend: N rows of the pool, C clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from superbatch.curation.best import arrays, best_of_groups
from superbatch.curation.clusters import check_clusters, cluster_sizes, effective_number, text_clusters
from superbatch.curation.decide import digest, staying
from superbatch.curation.groups import kept_count
from superbatch.data.embeddings import EmbeddingCache
from superbatch.data.manifest import Manifest
from superbatch.data.row_set import RowSet
from superbatch.errors import UserError
from superbatch.options import PoolSettings

DIGITS = 4  # digits of a share that is found: rounding on another processor must not make another run


@dataclass(frozen=True)
class Kept:
    """What a filter keeps.

    Attributes:
        rows: kept rows; None for all.
        words: what was kept, for people; empty where all of it is.
        identity: what the settings do not say of a run's outcome: the digest of rows that clusters or a decision kept, `kept_rows`.
    """

    rows: RowSet | None = None
    words: str = ""
    identity: dict[str, str] = field(default_factory=dict)


def kept(cache: EmbeddingCache, pool: PoolSettings) -> Kept:
    """Filter a pool as the settings say.

    Raises:
        UserError: more clusters than rows.
    """
    if pool.keep_share == 1:
        return Kept()
    scores_N, keep = cache.pair_scores(), kept_count(len(cache), pool.keep_share)
    if not pool.clusters:
        return Kept(best_rows(scores_N, keep), f"the best {keep:,} of {len(cache):,} rows by reference score")
    check_clusters(pool.clusters, len(cache), "pool.clusters")
    cluster_N = text_clusters(cache, pool.clusters)
    sizes_C = cluster_sizes(cluster_N, pool.clusters)
    quota_C = quotas(sizes_C, keep, pool.balance)
    rows = best_of_each(scores_N, cluster_N, quota_C)
    # Another processor may round to other clusters. That makes it another run, and an audit notices it.
    return Kept(rows, _words(sizes_C, quota_C), {"kept_rows": digest(rows)})


def decided(name: str, decisions: Path | None, manifests: Sequence[Manifest]) -> Kept:
    """Keep what a decision of the stage `curate` keeps; rows of further sets stay.

    Args:
        name: of the decision. decisions: what the stage wrote. manifests: of the sets that are drawn from, the pool first.

    Raises:
        UserError: the stage has not run, knows no such decision, or was run on another pool.
    """
    pool, *others = manifests
    rows = RowSet(staying(decisions, name, pool))
    words = f"{len(rows):,} of {len(pool):,} rows, by the decision {name}"
    names = {"kept_rows": digest(rows)}
    if others:
        more = np.ones(sum(map(len, others)), bool)
        rows = RowSet(chain(staying(decisions, name, pool), [more]))
    return Kept(rows, words, names)


def with_share(pool: PoolSettings, cache: EmbeddingCache, known_H: np.ndarray) -> PoolSettings:
    """Return the settings with the share that `like_curated` comes to: of the rows that score no lower than so many known true pairs.

    Where the reference tells true pairs from others, most of the others score lower than nearly all of the true ones, and are left out;
    where it does not, nearly everything is kept. With few known pairs the lowest of them decides, so more is kept.

    Args:
        pool: with `like_curated`. cache: of the pool.
        known_H: cosines of curated pairs that the reference was not trained on.

    Raises:
        UserError: there are no such pairs.
    """
    if not len(known_H):
        what = "needs curated pairs that were held out from the reference's training, and there are none"
        raise UserError(
            "pool.like_curated", what, "set reference.held_out, such as 0.1, or give pool.keep_share instead"
        )
    lowest = np.quantile(known_H, 1 - pool.like_curated, method="lower")
    found = sum(int((scores_n >= lowest).sum()) for scores_n in cache.score_blocks()) / len(cache)
    share = max(round(found, DIGITS), 10.0**-DIGITS)
    whole: dict[str, Any] = (
        {"clusters": 0, "balance": 0.0} if share == 1 else {}
    )  # nothing is left for clusters to share
    return replace(pool, keep_share=share, like_curated=0.0, **whole)


def best_rows(scores_N: np.ndarray, keep: int) -> RowSet:
    """Return the rows with the highest scores; ties break by row, NaN comes last."""
    return RowSet(best_of_groups(arrays(scores_N), np.array([keep])))


def best_of_each(scores_N: np.ndarray, cluster_N: np.ndarray, quota_C: np.ndarray) -> RowSet:
    """Return the rows with the highest scores of each cluster, as many as its quota; ties break by row, NaN comes last.

    Args:
        scores_N: of each row. cluster_N: of each row, from 0 to C - 1.
        quota_C: rows to take of each cluster, no more than it has.
    """
    return RowSet(best_of_groups(arrays(scores_N, cluster_N), quota_C))


def quotas(sizes_C: np.ndarray, keep: int, balance: float) -> np.ndarray:
    """Divide the rows to keep among clusters: in proportion to size^(1 - balance), and no cluster gives more than it has.

    What small clusters lack is spread over the others in the same proportion (water-filling), so that all quotas but those of clusters
    that give everything stand to each other as the powers of their sizes. Fractions go to the clusters with the largest ones.

    Args:
        sizes_C: rows of each cluster; it may be empty.
        keep: rows in all, at most the sum of sizes.
        balance: 0 keeps the pool's own proportions; 1 gives every cluster as many, as far as it has them.

    Returns:
        Rows of each cluster, int64 (C,), that sum to `keep`.
    """
    assert keep <= sizes_C.sum(), "more rows to keep than there are"
    exact_C = np.zeros(len(sizes_C))
    full = sizes_C > 0
    exact_C[full] = _filled(sizes_C[full].astype(np.float64), keep, balance)
    quota_C = np.floor(exact_C).astype(np.int64)
    room = np.flatnonzero(quota_C < sizes_C)
    first = room[np.argsort(quota_C[room] - exact_C[room], kind="stable")]
    quota_C[first[: keep - quota_C.sum()]] += 1
    return quota_C


def _filled(sizes_C: np.ndarray, keep: int, balance: float) -> np.ndarray:
    """Solve sum(min(size, level x size^(1 - balance))) = keep for the level, and return these minima."""
    weights = sizes_C ** (1 - balance)
    brim = sizes_C / weights  # the level at which a cluster has given everything
    order = np.argsort(brim, kind="stable")
    emptied = np.concatenate([[0.0], np.cumsum(sizes_C[order])[:-1]])  # rows of all clusters that are emptied sooner
    levels = (keep - emptied) / np.cumsum(weights[order][::-1])[::-1]
    level = levels[np.argmax(levels <= brim[order])]
    filled: np.ndarray = np.minimum(sizes_C, level * weights)
    return filled


def _words(sizes_C: np.ndarray, quota_C: np.ndarray) -> str:
    """Say what a filter over clusters keeps."""
    there = sizes_C > 0
    rows = (
        f"{quota_C.sum():,} of {sizes_C.sum():,} rows, the best of each of {there.sum():,} clusters by reference score"
    )
    even = f"effective number of clusters {effective_number(sizes_C):.0f} in the pool, {effective_number(quota_C):.0f} kept"
    whole = np.count_nonzero(there & (quota_C == sizes_C))
    return f"{rows}; {even}" + (f"; kept whole: {whole:,}" if whole else "")
