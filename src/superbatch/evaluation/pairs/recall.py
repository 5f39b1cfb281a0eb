"""R@1 in small batches: how often an image's own caption is the nearest, averaged over all possible batches.

Letters in names: n pairs, D embedding width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import gammaln
from torch import Tensor

from superbatch.evaluation.ranks import exact_unit


def recall_in(image_nD: Tensor, text_nD: Tensor, captions: Sequence[str], of: int) -> np.ndarray:
    """Return the chance that each image's own caption is nearer than of - 1 others, drawn without replacement from all others.

    That is what R@1 in batches of `of` comes to, averaged over all batches: with m of M others at least as near, C(M - m, of - 1) over
    C(M, of - 1). Captions that read like its own are no others. Of fewer others all are drawn.

    Args:
        image_nD, text_nD: embeddings of n pairs.
        captions: of the same pairs.
        of: captions in a batch.

    Returns:
        float64 (n,), 0 to 1; NaN where there is no other caption.
    """
    cosine_nn = (exact_unit(image_nD) @ exact_unit(text_nD).T).cpu().numpy()
    group_n = np.unique(np.array(captions, object), return_inverse=True)[1]
    other_nn = group_n[:, None] != group_n
    near_n = ((cosine_nn >= np.diagonal(cosine_nn)[:, None]) & other_nn).sum(1)
    others_n = other_nn.sum(1)
    drawn_n = np.minimum(of - 1, others_n)
    chance_n = np.exp(log_choose(others_n - near_n, drawn_n) - log_choose(others_n, drawn_n))
    return np.where(others_n > 0, chance_n, np.nan)


def log_choose(of: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return the logarithm of the binomial coefficient; minus infinity where more are drawn than there are."""
    there = np.maximum(of, drawn)
    found = gammaln(there + 1) - gammaln(drawn + 1) - gammaln(there - drawn + 1)
    return np.where(of < drawn, -np.inf, found)
