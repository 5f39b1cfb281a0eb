"""Dividing: clusters of representations, none too small to train an expert on.

Legend: N rows, D embedding width, k clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from superbatch.curation.clusters import SEED, Read, row_clusters, tiles, unit_rows
from superbatch.data.sampling import sampled_rows
from superbatch.errors import UserError

SETTING = "dnc.clusters"
JUDGED_ROWS = 2_000  # by which the silhouette is taken: it needs all distances between them


@dataclass(frozen=True)
class Division:
    """Which cluster owns which row.

    Attributes:
        cluster_N: from 0, int32, the largest cluster first.
        silhouettes: by number of clusters asked for, -1 to 1; where only one was, empty.
        asked: the number that was taken. joined: clusters that were too small, and joined others.
    """

    cluster_N: np.ndarray
    asked: int
    joined: int = 0
    silhouettes: dict[int, float] = field(default_factory=dict)

    @property
    def sizes(self) -> list[int]:
        """Rows of each cluster."""
        return [int(size) for size in np.bincount(self.cluster_N)]


def divide(read: Read, rows: int, numbers: Sequence[int], least: int) -> Division:
    """Divide rows into clusters by k-means; of several numbers of clusters take the one with the highest silhouette.

    Args:
        read: returns the representations of some rows.
        rows: N.
        numbers: of clusters, to choose from.
        least: rows that a cluster must have; a smaller one joins the nearest.

    Raises:
        UserError: more clusters than rows; or no two clusters of that size.
    """
    found = {k: row_clusters(read, rows, k, SETTING) for k in numbers}
    judged = {} if len(found) == 1 else {k: silhouette(read, cluster_N) for k, cluster_N in found.items()}
    k = max(judged, key=lambda k: judged[k]) if judged else numbers[0]
    cluster_N, joined = large_enough(read, found[k], least)
    if cluster_N.max() == 0:
        what = f"{k} clusters of {rows:,} rows, and no two of them have {least:,} rows, which is a batch"
        raise UserError(SETTING, what, "use fewer clusters, or a smaller batch")
    return Division(cluster_N, k, joined, judged)


def check_numbers(numbers: Sequence[int], rows: int, least: int) -> None:
    """Refuse numbers of clusters that could not all have a batch of rows.

    Args:
        numbers, least: as of `divide`. rows: N.

    Raises:
        UserError: just that.
    """
    most = rows // least
    if max(numbers) > most:
        what = f"{max(numbers):,} clusters of {rows:,} rows, and an expert needs a batch of {least:,}"
        fewer = f"use {most:,} or fewer, or " if most > 1 else "use "
        raise UserError(SETTING, what, f"{fewer}a smaller batch")


def silhouette(read: Read, cluster_N: np.ndarray) -> float:
    """How clearly clusters stand apart, -1 to 1 (Rousseeuw, 1987; scikit-learn's), over a sample of rows; -1 where it is of one cluster."""
    from sklearn.metrics import silhouette_score

    rows = sampled_rows(len(cluster_N), JUDGED_ROWS, SEED)
    labels = cluster_N[rows]
    if not 1 < len(np.unique(labels)) < len(rows):
        return -1.0
    return float(silhouette_score(unit_rows(read, rows), labels))


def large_enough(read: Read, cluster_N: np.ndarray, least: int) -> tuple[np.ndarray, int]:
    """Join clusters that are too small to the one with the nearest centre, the smallest first; empty ones are dropped.

    Returns:
        Each row's cluster, int32 (N,), numbered from 0 by size, and how many joined another.
    """
    sums_kD, size_k = _sums(read, cluster_N)
    home_k, joined = np.arange(len(size_k)), 0
    size_k = size_k.astype(float)
    size_k[size_k == 0] = np.inf  # nothing to merge
    while np.isfinite(size_k).sum() > 1 and size_k.min() < least:
        small, others = int(size_k.argmin()), np.flatnonzero(np.isfinite(size_k))
        others = others[others != small]
        centres = sums_kD[others] / size_k[others, None]
        near = others[np.linalg.norm(centres - sums_kD[small] / size_k[small], axis=1).argmin()]
        sums_kD[near] += sums_kD[small]
        size_k[near] += size_k[small]
        size_k[small] = np.inf
        home_k[home_k == small] = near
        joined += 1
    homes_N = home_k[cluster_N]
    by_size = sorted(np.unique(homes_N), key=lambda home: -size_k[home])
    number_k = np.zeros(len(size_k), np.int32)
    number_k[by_size] = np.arange(len(by_size))
    return number_k[homes_N], joined


def _sums(read: Read, cluster_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the representations of each cluster, float64 (k, D), and its rows (k,)."""
    size_k = np.bincount(cluster_N)
    sums_kD: np.ndarray | None = None
    for rows in tiles(len(cluster_N)):
        unit = unit_rows(read, rows)
        sums_kD = np.zeros((len(size_k), unit.shape[1])) if sums_kD is None else sums_kD
        np.add.at(sums_kD, cluster_N[rows], unit)
    assert sums_kD is not None, "a set has rows"
    return sums_kD, size_k
