"""Confidence intervals for shares (accuracy, recall)."""

from __future__ import annotations

import math

import numpy as np

Z_95 = 1.959963984540054


def wilson(share: float, count: float, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's score interval of a share seen over `count` independent trials (Wilson 1927).

    Unlike the normal one it stays within [0, 1] and has a width at 0 and at 1.

    Args:
        share: successes over trials, in [0, 1].
        count: trials; may be a broken number (an effective sample size). 0 gives (0, 1).
        z: quantile of the normal distribution; the default gives 95 %.
    """
    if count <= 0:
        return 0.0, 1.0
    centre = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def clustered_wilson(hits: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Return Wilson's interval of a share whose trials come in groups (the captions of one image).

    Captions of one image succeed and fail together, so as many independent trials as captions would promise too much.
    The variance of the share is taken between groups (the ratio estimator of cluster sampling) and turned into an
    effective number of trials (Korn and Graubard 1998), at most the true one. With one trial a group this is `wilson`.

    Args:
        hits: (M,) bool or 0/1.
        group: (M,) whole numbers from 0: the group of each trial.
    """
    sizes = np.bincount(group).astype(float)
    wins = np.bincount(group, weights=hits)[sizes > 0]
    sizes = sizes[sizes > 0]
    num_groups, share = len(sizes), float(np.mean(hits))
    if num_groups < 2 or share in (0.0, 1.0):
        return wilson(share, num_groups)
    between = ((wins - share * sizes) ** 2).sum() / (num_groups * sizes.mean() ** 2)
    effective = share * (1 - share) / between * num_groups if between > 0 else np.inf
    return wilson(share, min(effective, float(len(hits))))


def packed(hits: np.ndarray) -> str:
    """Return hits by image, bool (N,), as hexadecimal digits, eight images a byte: so two models can be compared image by image."""
    return np.packbits(hits).tobytes().hex()
