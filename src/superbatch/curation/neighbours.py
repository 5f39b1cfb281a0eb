"""Near-duplicates: pairs of images by perceptual hash or by embedding, groups of them, and what a pool has in common with other images.

Pairs by embedding are looked for as SemDeDup does (arXiv 2303.09540): clusters first, then all pairs within each. What lies on two sides of a
border between clusters is missed. Memory is a tile of pairs beside a few numbers a row.

Legend: N rows, D embedding width, E other images, H distinct hashes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from superbatch.curation.clusters import FIT_ROWS, Read, row_clusters, unit
from superbatch.curation.groups import Groups

ROWS_A_CLUSTER = 1_000  # on average: pairs within it are all looked at
MOST_CLUSTERS = FIT_ROWS // 10  # so that each centre is fitted to ten rows; of larger sets clusters have more rows
TILE = 1_024  # rows by rows that are compared at a time
CELLS = 1 << 22  # comparisons at a time with other images
BITS = 64


def by_hash(hash_N: np.ndarray, bits: int) -> np.ndarray:
    """Group images whose hashes differ in no more than so many bits, directly or through others.

    Every such pair is found: hashes that differ in `bits` places agree in one of `bits` + 1 pieces, and only such are compared.

    Args:
        hash_N: uint64. bits: from 0 to 63.

    Returns:
        The first row of each row's group, int64 (N,).
    """
    distinct_H, first_H, which_N = np.unique(hash_N, return_index=True, return_inverse=True)
    groups = Groups(len(hash_N))
    groups.join(np.arange(len(hash_N)), first_H[which_N])
    for members in _sharing_a_piece(distinct_H, bits) if bits else ():
        for left, right in _tiles(len(members)):
            own_l, own_r = members[left], members[right]
            differ = np.bitwise_count(distinct_H[own_l, None] ^ distinct_H[None, own_r])
            near_l, near_r = np.nonzero(differ <= bits)
            groups.join(first_H[own_l[near_l]], first_H[own_r[near_r]])
    return groups.first()


def by_embedding(read: Read, rows: int, near: float) -> tuple[np.ndarray, np.ndarray]:
    """Group images whose embeddings have at least a cosine, directly or through others.

    Args:
        read: returns the embeddings of some rows' images, (n, D), of any length.
        rows: N. near: the cosine.

    Returns:
        The first row of each row's group, int64 (N,), and the highest cosine with another row of its cluster, float32 (N,), -1 where it is alone.
    """
    groups, nearest_N = Groups(rows), np.full(rows, -1, np.float32)
    cluster_N = row_clusters(read, rows, min(max(1, round(rows / ROWS_A_CLUSTER)), MOST_CLUSTERS))
    order = np.argsort(cluster_N, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(cluster_N[order])) + 1):
        for left, right in _tiles(len(members)):
            own_l, own_r = members[left], members[right]
            cosine_lr = unit(read(own_l)) @ unit(read(own_r)).T
            cosine_lr[own_l[:, None] == own_r[None, :]] = -1.0  # not its own neighbour
            nearest_N[own_l] = np.maximum(nearest_N[own_l], cosine_lr.max(1))
            nearest_N[own_r] = np.maximum(nearest_N[own_r], cosine_lr.max(0))
            near_l, near_r = np.nonzero(cosine_lr >= near)
            groups.join(own_l[near_l], own_r[near_r])
    return groups.first(), nearest_N


def bits_apart(hash_n: np.ndarray, other_E: np.ndarray) -> np.ndarray:
    """Return in how many bits each hash differs from each other one, uint8 (n, E)."""
    found: np.ndarray = np.bitwise_count(hash_n[:, None] ^ other_E[None, :])
    return found


def blocks_against(rows: int, others: int) -> Iterator[np.ndarray]:
    """Yield rows in order, int64, so many at a time that a comparison with all others stays small."""
    size = max(1, CELLS // max(1, others))
    return (np.arange(start, min(start + size, rows)) for start in range(0, rows, size))


def _sharing_a_piece(distinct_H: np.ndarray, bits: int) -> Iterator[np.ndarray]:
    """Yield places of hashes that agree in a piece, int64, two at least; a pair may come more than once."""
    borders = np.linspace(0, BITS, bits + 2).round().astype(int)
    for low, high in pairwise(borders):
        piece_H = (distinct_H >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(piece_H, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(piece_H[order])) + 1):
            if len(members) > 1:
                yield members


def _tiles(count: int) -> Iterator[tuple[slice, slice]]:
    """Yield pieces of a square of pairs: those of its upper half."""
    starts = range(0, count, TILE)
    return ((slice(a, a + TILE), slice(b, b + TILE)) for a in starts for b in starts if b >= a)
