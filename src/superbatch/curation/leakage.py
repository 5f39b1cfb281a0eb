"""What a pool has in common with evaluation sets: equal files, equal looks, near embeddings.

Legend: N rows of the pool, E images of an evaluation set, D embedding width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from superbatch.artifacts.scratch import pieces, scratch
from superbatch.curation.clusters import unit
from superbatch.curation.neighbours import BITS, Read, bits_apart, blocks_against
from superbatch.data.manifest import Manifest


@dataclass(frozen=True)
class Seen:
    """Images that are compared: their files' checksums, hashes (uint64) and embeddings (read by row, of any length)."""

    manifest: Manifest
    hashes: np.ndarray
    read: Read


@dataclass(frozen=True)
class Nearest:
    """How close some images are to the images of another set.

    Attributes:
        same: whether its file stands there, byte by byte, bool.
        bits: the fewest bits in which hashes differ, uint8; 64 where there is no other image.
        cosine: the highest of embeddings, float32; -1 where there is no other image.
    """

    same: np.ndarray
    bits: np.ndarray
    cosine: np.ndarray

    def leaks(self, hash_bits: int, near: float) -> np.ndarray:
        """Whether it is a near-duplicate in any way, bool."""
        found: np.ndarray = self.same | (self.bits <= hash_bits) | (self.cosine >= near)
        return found

    def joined(self, other: Nearest) -> Nearest:
        """Return the nearest of two sets."""
        found = nothing(len(self.same))
        for piece in pieces(len(self.same)):
            np.logical_or(self.same[piece], other.same[piece], out=found.same[piece])
            np.minimum(self.bits[piece], other.bits[piece], out=found.bits[piece])
            np.maximum(self.cosine[piece], other.cosine[piece], out=found.cosine[piece])
        return found

    def counts(self, hash_bits: int, near: float) -> dict[str, int]:
        """Count the images that leak, by each way and by any."""
        ways = {"same_file": self.same, "same_hash": self.bits <= hash_bits, "same_embedding": self.cosine >= near}
        return {name: int(found.sum()) for name, found in (ways | {"any": self.leaks(hash_bits, near)}).items()}


def nothing(rows: int) -> Nearest:
    """Return the result if there is nothing to compare with."""
    return Nearest(scratch(rows, bool), scratch(rows, np.uint8, fill=BITS), scratch(rows, np.float32, fill=-1))


def compare(pool: Seen, other: Seen) -> tuple[Nearest, Nearest]:
    """Compare each image of a pool with each of another set, which is held in memory.

    Returns:
        Of the pool's N rows, and of the other E images.
    """
    count, others = len(pool.manifest), len(other.manifest)
    of_rows, of_others = nothing(count), nothing(others)
    _compare_files(pool, other, of_rows.same, of_others.same)
    if not others:
        return of_rows, of_others
    other_ED = unit(other.read(np.arange(others)))
    for rows in blocks_against(count, others):
        bits_nE = bits_apart(pool.hashes[rows], other.hashes)
        cosine_nE = unit(pool.read(rows)) @ other_ED.T
        of_rows.bits[rows], of_rows.cosine[rows] = bits_nE.min(1), cosine_nE.max(1)
        np.minimum(of_others.bits, bits_nE.min(0), out=of_others.bits)
        np.maximum(of_others.cosine, cosine_nE.max(0), out=of_others.cosine)
    return of_rows, of_others


def told(of_rows: Nearest, of_others: Nearest, hash_bits: int, near: float) -> dict[str, Any]:
    """Return the counts of both sides, for a report."""
    return {
        "images": len(of_others.same),
        "leaked": of_others.counts(hash_bits, near),
        "rows": of_rows.counts(hash_bits, near),
    }


def _compare_files(pool: Seen, other: Seen, same_N: np.ndarray, same_E: np.ndarray) -> None:
    """Mark the images of both sides that the other has, byte by byte; the pool is read a piece at a time."""
    own, start, met = other.manifest.column("sha256"), 0, []
    for batch in pool.manifest.batches(["sha256"]):
        found = pc.is_in(batch.column(0), value_set=own)
        same_N[start : start + len(batch)] = found.to_numpy(zero_copy_only=False)
        met.append(batch.column(0).filter(found))
        start += len(batch)
    known = pa.chunked_array(met, pa.binary(32)).combine_chunks()
    same_E[:] = pc.is_in(own, value_set=known).to_numpy(zero_copy_only=False)
