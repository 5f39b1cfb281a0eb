"""Near-duplicates: pairs of images by perceptual hash or by embedding, groups of them, and what a pool has in common with other images.

Pairs by embedding are looked for as SemDeDup does (arXiv 2303.09540): clusters first, then all pairs within each. What lies on two sides of a
border between clusters is missed. Memory is a tile of pairs beside a few numbers a row, which lie on disk where they are many.

Legend: N rows, D embedding width, E other images, H distinct hashes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from superbatch.artifacts.scratch import pieces, scratch
from superbatch.curation.clusters import FIT_ROWS, Read, row_clusters, unit
from superbatch.curation.dealt import dealt, first_equal
from superbatch.curation.groups import Groups, by_number

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
    first_N = first_equal(hash_N)
    if not bits:
        return first_N
    groups = Groups(len(hash_N))
    for piece in pieces(len(hash_N)):
        groups.join(np.arange(piece.start, piece.stop), first_N[piece])
    for own_m, first_m in _sharing_a_piece(hash_N, first_N, bits):
        for left, right in _tiles(len(own_m)):
            differ = np.bitwise_count(own_m[left, None] ^ own_m[None, right])
            near_l, near_r = np.nonzero(differ <= bits)
            groups.join(first_m[left][near_l], first_m[right][near_r])
    return groups.first()


def by_embedding(read: Read, rows: int, near: float) -> tuple[np.ndarray, np.ndarray]:
    """Group images whose embeddings have at least a cosine, directly or through others.

    Args:
        read: returns the embeddings of some rows' images, (n, D), of any length.
        rows: N. near: the cosine.

    Returns:
        The first row of each row's group, int64 (N,), and the highest cosine with another row of its cluster, float32 (N,), -1 where it is alone.
    """
    groups, nearest_N = Groups(rows), scratch(rows, np.float32, fill=-1)
    clusters = min(max(1, round(rows / ROWS_A_CLUSTER)), MOST_CLUSTERS)
    for members in by_number(row_clusters(read, rows, clusters), clusters):
        for start in range(0, len(members), TILE):
            own_l = members[start : start + TILE]
            left_lD = unit(read(own_l))
            for other in range(start, len(members), TILE):
                own_r = members[other : other + TILE]
                # a copy: numpy uses another routine for a product of an array with itself, which changes the last bits
                cosine_lr = left_lD @ (left_lD.copy() if other == start else unit(read(own_r))).T
                if other == start:
                    np.fill_diagonal(cosine_lr, -1.0)  # not its own neighbour
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


def _sharing_a_piece(hash_N: np.ndarray, first_N: np.ndarray, bits: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield distinct hashes that agree in a piece, uint64, with the first row of each, int64; two at least; a pair may come more than once."""
    borders = np.linspace(0, BITS, bits + 2).round().astype(int)
    for low, high in pairwise(borders):
        for part in dealt(_pieces_of(hash_N, first_N, int(low), int(high)), len(hash_N)):
            whole = part.whole()
            order = np.argsort(whole["value"], kind="stable")
            for members in np.split(order, np.flatnonzero(np.diff(whole["value"][order])) + 1):
                if len(members) > 1:
                    yield whole["hash"][members], whole["row"][members]


def _pieces_of(hash_N: np.ndarray, first_N: np.ndarray, low: int, high: int) -> Iterator[np.ndarray]:
    """Yield the bits from `low` to `high` of each distinct hash, with its first row and the hash itself."""
    for rows in pieces(len(hash_N)):
        own = np.flatnonzero(first_N[rows] == np.arange(rows.start, rows.stop))
        records = np.empty(len(own), [("row", np.int64), ("value", np.uint64), ("hash", np.uint64)])
        records["row"], records["hash"] = rows.start + own, hash_N[rows][own]
        records["value"] = (records["hash"] >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        yield records


def _tiles(count: int) -> Iterator[tuple[slice, slice]]:
    """Yield pieces of a square of pairs: those of its upper half."""
    starts = range(0, count, TILE)
    return ((slice(a, a + TILE), slice(b, b + TILE)) for a in starts for b in starts if b >= a)
