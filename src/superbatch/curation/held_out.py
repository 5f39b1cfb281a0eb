"""The curated pairs that are held out from the reference's training, to measure it on them.

A pure function of the images' content: equal images fall on one side, and so does every image when shards are packed anew or put into
another order. A set that grows keeps its sides but at their border.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

MOST = 2_000  # rows held out at most: with these, intervals are narrow, and the rest is better used for training
SALT = b"held out"  # so that the order has nothing to do with any other use of the digests


def held_out_count(rows: int, share: float) -> int:
    """Return how many of `rows` pairs a share is; at most `MOST`."""
    return min(MOST, round(share * rows))


def held_out_rows(digests: Iterable[bytes], count: int) -> np.ndarray:
    """Return the rows of the first images in the order of their hashes.

    Args:
        digests: the SHA-256 of each row's image, as the manifest has it.
        count: how many to hold out at most; fewer where equal images stand at the border, all or none of which fit.

    Returns:
        int64, ascending.
    """
    keys_N = np.array([_key(digest) for digest in digests], np.uint64)
    if count >= len(keys_N):
        return np.arange(len(keys_N))
    border = np.partition(keys_N, count)[count]
    return np.flatnonzero(keys_N < border)


def _key(digest: bytes) -> int:
    return int.from_bytes(hashlib.sha256(SALT + digest).digest()[:8], "big")
