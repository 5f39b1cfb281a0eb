"""Numbers drawn by name: the same for the same seed and words, whatever else was drawn before."""

from __future__ import annotations

import hashlib


def draw(seed: int, *words: str) -> float:
    """Return a number in [0, 1) that hangs on the seed and the words alone."""
    text = "\0".join((str(seed), *words))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64
