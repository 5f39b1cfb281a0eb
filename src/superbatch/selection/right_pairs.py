"""Estimate how many pairs of a pool are right, from how each pair's own score ranks among those of others.

The share of other captions that score no lower with an image than its own does is a p-value: of a wrong pair, whose caption is like any other,
it is uniform on 0 to 1; of a right one it is near 0 once the model knows something. Storey's estimate of true nulls (J. R. Stat. Soc. B 64:479,
2002) then bounds the share of wrong pairs from above.

Shapes: n pairs, D embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor

TILE = 1_000  # images, and captions, whose scores are in memory at once
# Scores this close count as a tie, which counts against a pair: if all embeddings have collapsed to one, they tell nothing, whichever way
# the last digits are rounded.
TIE = 1e-6
LAMBDA = 0.5  # p-values above it are taken for those of wrong pairs alone
NEAR = 0.01  # a pair's own caption stands out where no more than this share of others score as high
SURE = 2.0  # standard errors that make a difference certain
SAME = 0.02  # captions of fifty classes are the same as often; free text has 0.00001 (icons) to 0.0004 (simweb)
# Where captions are labels said in many ways, many others fit an image as well as its own, so that right pairs are spread evenly over a tenth, or
# however many fit: a tenth of them stand out. In free text they gather near 0 as soon as a model knows something: 0.25 to 0.6 of those within a tenth do.
TENTH = 0.1
GATHERED = 0.2
FEW = 0.03  # of all pairs: with no more of them within a tenth, by more than chance, `gathered` is no number
WIDE = 0.2  # right pairs of ten such labels lie below it, and with them those whose label comes second


@torch.no_grad()
def p_values(image_nD: Tensor, text_nD: Tensor) -> Tensor:
    """Return the share of others that score no lower than a pair's own do: captions with its image, then images with its caption.

    Where few captions are told from each other (`few_texts`), a pair is compared with those of other captions alone: others of its own match as well,
    and in a class of half of the pairs none would look right.

    Args:
        image_nD, text_nD: embeddings of length 1 of n pairs, 2 or more; a score is their cosine.

    Returns:
        float64 (2, n), on the CPU. A score that is not finite counts as no lower. 1 for a pair that there is nothing to compare with.
    """
    image_nD, text_nD = image_nD.cpu().double(), text_nD.cpu().double()
    n, own_n = len(image_nD), (image_nD * text_nD).sum(1) - TIE
    apart = few_texts(text_nD)
    counts, others_n = torch.zeros(2, n).double(), torch.zeros(n).double()
    for images in _tiles(n):
        for texts in _tiles(n):
            scores = image_nD[images] @ text_nD[texts].T
            others = ~_same(text_nD[images], text_nD[texts]) if apart else torch.ones_like(scores, dtype=torch.bool)
            counts[0, images] += (~(scores < own_n[images, None]) & others).sum(1)
            counts[1, texts] += (~(scores < own_n[texts]) & others).sum(0)
            others_n[images] += others.sum(1)
    if not apart:
        return (counts - 1) / (n - 1)  # less the pair itself
    return torch.where(others_n > 0, counts / others_n.clamp(min=1), 1)


@torch.no_grad()
def few_texts(text_nD: Tensor) -> bool:
    """Whether two of n captions, 2 or more, are the same with a chance above `SAME`, by their embeddings (n, D): equal ones have equal embeddings."""
    text_nD, n = text_nD.cpu().double(), len(text_nD)
    same = sum(int(_same(text_nD[some], text_nD[others]).sum()) for some in _tiles(n) for others in _tiles(n))
    return same - n > SAME * n * (n - 1)


def _tiles(n: int) -> list[slice]:
    return [slice(start, start + TILE) for start in range(0, n, TILE)]


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


def gathered(p: Tensor) -> float | None:
    """Return the share of right pairs within a `TENTH` that are within `NEAR`; None where the model puts too few there to tell.

    Args:
        p: p-values, of any shape. Wrong pairs are within both by chance, which is taken off.
    """
    near, tenth = (float((p <= bound).double().mean()) - bound for bound in (NEAR, TENTH))
    return near / tenth if tenth > FEW else None


def say_few_things(p: Tensor) -> bool:
    """Tell whether captions name some ten classes in many ways, so that many others fit an image as well.

    From about 6 to 13 classes are told; of 15 it is uncertain, and 20 are told no more. A model that knows nothing says yes by chance, once in forty.

    Args:
        p: p-values (2, n).

    Returns:
        Whether less than `GATHERED` of the right pairs within a `TENTH` are within `NEAR`, by more than `SURE` standard errors.
    """
    above_n = ((p <= NEAR).double() - GATHERED * (p <= TENTH).double()).mean(0) - (NEAR - GATHERED * TENTH)
    return _low(-above_n) > 0


def lead(p: Tensor, other: Tensor, near: float = NEAR) -> float:
    """Return a model's certain lead over another on the same pairs: the lower end of the difference in the share that stands out.

    A batch is chosen of what stands out most, so that is where two models are compared: the share of pairs with p <= `near`. In
    wrong pairs that happens to both as often. The difference is paired, less `SURE` standard errors.

    Args:
        p, other: p-values (2, n) of the same pairs, by either model.
        near: the largest p that stands out; `WIDE` where they `say_few_things`.

    Returns:
        Above 0 where the first is ahead.
    """
    return _low(((p <= near).double() - (other <= near).double()).mean(0))


def _low(value_n: Tensor) -> float:
    """Return the lower end of a mean: less `SURE` standard errors."""
    return float(value_n.mean() - SURE * value_n.std(correction=0) / len(value_n) ** 0.5)
