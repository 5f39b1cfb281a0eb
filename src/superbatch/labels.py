"""Captions that are labels: the names of a few classes, each of which many pairs have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

# How likely two pairs have the same caption: above it captions are labels. Free text has 0.00001 (icons) to 0.0004 (simweb), ten classes 0.1.
CHANCE = 0.002


def are_labels(chance: float) -> bool:
    """Whether captions are labels, by how likely two pairs have the same one."""
    return chance > CHANCE


def chance_of_same(counts: ArrayLike) -> float:
    """Return how likely two different pairs have the same caption.

    Args:
        counts: pairs of each caption, int64.
    """
    of_each = np.asarray(counts, np.int64)
    pairs = int(of_each.sum())
    return int(of_each @ (of_each - 1)) / max(1, pairs * (pairs - 1))
