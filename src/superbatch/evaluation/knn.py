"""Classification by the nearest labelled images, with weighted votes (Wu et al. 2018, as DINO evaluates).

Letters in names: N test images, M labelled images, C classes, D embedding width, k neighbours.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from superbatch.evaluation.features import Features
from superbatch.evaluation.ranks import GRID, exact_unit, ranks_of_labels, whole_numbers

BLOCK_ENTRIES = 1 << 24  # cosines held at a time


def knn_hits(
    train: Features, test: Features, num_classes: int, k: int = 20, temperature: float = 0.07, *, but_own: bool = False
) -> np.ndarray:
    """Say which test images the vote of their nearest labelled images is right about.

    Each of the k images of highest cosine votes for its class with exp(cosine / temperature). Cosines are exact (see
    `ranks`); among equal ones the lower row is nearer, among equal votes the lower class wins.

    Args:
        train: labelled images, at least one. test: what is measured, on the same device.
        num_classes: C.
        k: neighbours; all images where there are fewer.
        temperature: how much the nearest count for more.
        but_own: the test images are the labelled ones, and none votes for itself.

    Returns:
        bool (N,).
    """
    unit_MD, labels_M = exact_unit(train.image_ND), whole_numbers(train.labels_N)
    block = max(1, BLOCK_ENTRIES // len(train))
    hits, start = [], 0
    for image_nD, label_n in zip(test.image_ND.split(block), whole_numbers(test.labels_N).split(block), strict=True):
        cosine_nM = exact_unit(image_nD) @ unit_MD.T / GRID**2
        if but_own:
            cosine_nM.diagonal(start).fill_(-torch.inf)  # its vote has no weight, even if it is among the nearest
        start += len(image_nD)
        votes_nC = votes(cosine_nM, labels_M.to(cosine_nM.device), num_classes, k, temperature)
        hits.append(ranks_of_labels(votes_nC, label_n.to(votes_nC.device)) == 0)
    found: np.ndarray = torch.cat(hits).cpu().numpy()
    return found


def votes(cosine_nM: Tensor, labels_M: Tensor, num_classes: int, k: int, temperature: float) -> Tensor:
    """Sum the votes of the k nearest by class; float64 (n, C)."""
    near_nk = nearest(cosine_nM, min(k, cosine_nM.shape[1]))
    # Relative to the nearest: the same factor for all classes, so that small temperatures do not overflow.
    nearness_nk = cosine_nM.gather(1, near_nk)
    weight_nk = ((nearness_nk - nearness_nk.max(1, keepdim=True).values) / temperature).exp()
    return weight_nk.new_zeros(len(near_nk), num_classes).scatter_add_(1, labels_M[near_nk], weight_nk)


def nearest(cosine_nM: Tensor, k: int) -> Tensor:
    """Return the columns of the k highest values of each row, int64 (n, k) in order of columns; the lower among equals."""
    least_n1 = cosine_nM.topk(k, dim=1).values[:, -1:]
    above, level = cosine_nM > least_n1, cosine_nM == least_n1
    room_n1 = k - above.sum(1, keepdim=True)
    chosen = above | (level & (level.cumsum(1) <= room_n1))
    return chosen.nonzero()[:, 1].view(-1, k)
