"""Clusters of rows: of similar captions, by k-means on the reference's cached text embeddings, or of any other embeddings.

A cluster stands in for a concept where nobody labelled any: with it a filter can level concepts, and rare ones can be told from frequent.

Legend: N rows, D embedding width, k clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from superbatch.artifacts.scratch import pieces, scratch
from superbatch.data.sampling import sampled_rows
from superbatch.errors import UserError

FIT_ROWS = 50_000  # rows that the centres are fitted to, at most: a random sample of larger sets
TILE = 8_192  # rows that are assigned at a time
Read = Callable[[np.ndarray], np.ndarray]  # row numbers (n,) -> embeddings (n, D)
SEED = 0  # of the sample and of the first centres: a constant, so that equal embeddings give equal clusters


class Texts(Protocol):
    """Embedded captions: an `EmbeddingCache`, or some in memory."""

    def __len__(self) -> int:
        """Rows, N."""
        ...

    def texts(self, rows: np.ndarray) -> np.ndarray:
        """Return the embeddings of some rows' captions, (n, D)."""
        ...


def text_clusters(embeddings: Texts, k: int) -> np.ndarray:
    """Assign each row to one of k clusters by its caption's embedding.

    Mini-batch k-means (Sculley, 2010; scikit-learn's) on embeddings of unit length, on one thread: the same embeddings give the same
    clusters on one machine. Other processors and other versions of scikit-learn may round differently, and move rows that lie between two.
    Memory: FIT_ROWS x D, and a tile; the rest is read as it is needed, and what is found lies on disk where rows are many.

    Args:
        embeddings: the reference's, of a set or of some of it.
        k: clusters. Where fewer captions differ, some clusters are empty.

    Returns:
        Each row's cluster, from 0 to k - 1, int32 (N,).

    Raises:
        UserError: more clusters than rows to fit them to.
    """
    return row_clusters(embeddings.texts, len(embeddings), k)


def row_clusters(read: Read, rows: int, k: int, setting: str = "clusters") -> np.ndarray:
    """Assign each row to one of k clusters by embeddings of any kind; all else as `text_clusters`.

    Args:
        read: returns the embeddings of some rows, (n, D).
        rows: N.
        k: clusters. setting: the key that a message names.
    """
    check_clusters(k, rows, setting)
    if k == 1:
        return scratch(rows, np.int32)
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    model = MiniBatchKMeans(k, random_state=SEED, n_init=1, compute_labels=False)
    cluster_N = scratch(rows, np.int32)
    # One thread: sums over several threads depend on their number, and other processes of a run need the cores.
    with threadpool_limits(1):
        model.fit(unit_rows(read, sampled_rows(rows, FIT_ROWS, SEED)))
        for tile in tiles(rows):
            cluster_N[tile] = model.predict(unit_rows(read, tile))
    return cluster_N


def cluster_sizes(cluster_N: np.ndarray, k: int) -> np.ndarray:
    """Return how many rows each of k clusters has, int64 (k,)."""
    sizes_C = np.zeros(k, np.int64)
    for piece in pieces(len(cluster_N)):
        sizes_C += np.bincount(cluster_N[piece], minlength=k)
    return sizes_C


def effective_number(sizes_C: np.ndarray) -> float:
    """Return how many clusters of one size are as even as these: exp of the entropy of their shares, from 1 to C."""
    share = sizes_C[sizes_C > 0] / sizes_C.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def check_clusters(k: int, rows: int, setting: str = "clusters") -> None:
    """Refuse more clusters than there are rows to fit them to.

    Args:
        k: clusters. rows: of the set. setting: the key that a message names.

    Raises:
        UserError: just that.
    """
    most = min(rows, FIT_ROWS)
    if k > most:
        of = f"{rows:,} rows" if rows == most else f"the {most:,} rows that they are fitted to"
        raise UserError(setting, f"{k:,} clusters of {of}", f"use {most:,} or fewer")


def tiles(rows: int) -> Iterator[np.ndarray]:
    """Yield all row numbers, a few thousand at a time."""
    return (np.arange(start, min(start + TILE, rows)) for start in range(0, rows, TILE))


def unit_rows(read: Read, rows: np.ndarray) -> np.ndarray:
    """Read the embeddings of some rows, at unit length, float32 (n, D)."""
    return unit(read(rows))


def unit(embedding_nD: np.ndarray) -> np.ndarray:
    """Return embeddings at unit length, float32 (n, D)."""
    wide_nD = embedding_nD.astype(np.float32)
    found: np.ndarray = wide_nD / np.maximum(np.linalg.norm(wide_nD, axis=1, keepdims=True), 1e-12)
    return found
