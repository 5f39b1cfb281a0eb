"""Estimate how many pairs of a pool are right, from how each pair's own score ranks among those of others.

The share of other captions that score no lower with an image than its own does is a p-value: of a wrong pair, whose caption is like any other,
it is uniform on 0 to 1; of a right one it is near 0 once the model knows something. Storey's estimate of true nulls (J. R. Stat. Soc. B 64:479,
2002) then bounds the share of wrong pairs from above.

Shapes: n pairs, D embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from superbatch.labels import are_labels

TILE = 1_000  # images, and captions, whose scores are in memory at once
# Scores this close count as a tie, which counts against a pair: if all embeddings have collapsed to one, they tell nothing, whichever way
# the last digits are rounded.
TIE = 1e-6
LAMBDA = 0.5  # p-values above it are taken for those of wrong pairs alone
NEAR = 0.01  # a pair's own caption stands out where no more than this share of others score as high
SURE = 2.0  # standard errors by which one model has to be ahead of another


@torch.no_grad()
def p_values(image_nD: Tensor, text_nD: Tensor) -> Tensor:
    """Return the share of others that score no lower than a pair's own do: captions with its image, then images with its caption.

    Pairs with the same caption match each other too. Where captions are labels, a pair is compared with those of other labels alone: among all
    none could stand out.

    Args:
        image_nD, text_nD: embeddings of length 1 of n pairs, 2 or more; a score is their cosine.

    Returns:
        float64 (2, n), on the CPU. A score that is not finite counts as no lower. 1 for a pair that there is nothing to compare with.
    """
    image_nD, text_nD = image_nD.cpu().double(), text_nD.cpu().double()
    n, own_n = len(image_nD), (image_nD * text_nD).sum(1) - TIE
    # Of all pairs, and of those with the same caption: how many score no lower.
    counts, of_same, same_n = torch.zeros(2, n).double(), torch.zeros(2, n).double(), torch.zeros(n).double()
    tiles = [slice(start, start + TILE) for start in range(0, n, TILE)]
    for images in tiles:
        for texts in tiles:
            scores = image_nD[images] @ text_nD[texts].T
            by_image, by_text = ~(scores < own_n[images, None]), ~(scores < own_n[texts])
            same = _same(text_nD[images], text_nD[texts])
            counts += _added(n, images, texts, by_image, by_text)
            of_same += _added(n, images, texts, by_image & same, by_text & same)
            same_n[images] += same.sum(1)
    chance = float((same_n - 1).clamp(min=0).mean()) / (n - 1)
    if not are_labels(chance):
        return (counts - 1) / (n - 1)  # less the pair itself
    others_n = n - same_n
    return torch.where(others_n > 0, (counts - of_same) / others_n.clamp(min=1), 1)


def _added(n: int, images: slice, texts: slice, by_image: Tensor, by_text: Tensor) -> Tensor:
    """Return the counts of one tile, float64 (2, n)."""
    found = torch.zeros(2, n, dtype=torch.float64)
    found[0, images], found[1, texts] = by_image.sum(1).double(), by_text.sum(0).double()
    return found


def _same(one_nD: Tensor, other_mD: Tensor) -> Tensor:
    """Tell which captions of two sets are the same, by their embeddings, to rounding: bool (n, m)."""
    squared = one_nD.square().sum(1)[:, None] + other_mD.square().sum(1) - 2 * one_nD @ other_mD.T
    return squared < 2 * TIE


def share_of_right(p: Tensor) -> float:
    """Return a lower estimate of the share of right pairs, 0 to 1: 1 - P(p >= lambda) / (1 - lambda).

    Args:
        p: p-values, of any shape.
    """
    wrong = float((p >= LAMBDA).double().mean()) / (1 - LAMBDA)
    return min(1.0, max(0.0, 1 - wrong))


def lead(p: Tensor, other: Tensor) -> float:
    """Return a model's certain lead over another on the same pairs: the lower end of the difference in the share that stands out.

    A batch is chosen of what stands out most, so that is where two models are compared: the share of pairs with p <= `NEAR`. In
    wrong pairs that happens to both as often. The difference is paired, less `SURE` standard errors.

    Args:
        p, other: p-values (2, n) of the same pairs, by either model.

    Returns:
        Above 0 where the first is ahead.
    """
    difference_n = ((p <= NEAR).double() - (other <= NEAR).double()).mean(0)
    return float(difference_n.mean() - SURE * difference_n.std(correction=0) / len(difference_n) ** 0.5)
