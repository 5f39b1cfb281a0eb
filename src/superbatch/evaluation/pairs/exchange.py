"""Exchanged pairs: each image with another pair's caption, never with one that reads the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def exchange(captions: Sequence[str], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Give images the captions of others, each caption once.

    Pairs are laid in a row, equal captions side by side and otherwise at random, and captions are moved on by the size of the largest
    group of equal ones: as long as that is at most half of all pairs, each image gets a caption that differs from its own.

    Args:
        captions: of n pairs.
        rng: what is drawn from.

    Returns:
        Images and whose caption each gets, int64 (m,) each, images ascending; m = n but where equal captions are more than half.
    """
    if not len(captions):
        return np.arange(0), np.arange(0)
    _, group_n, count_g = np.unique(np.array(captions, object), return_inverse=True, return_counts=True)
    place_g = rng.permutation(len(count_g))
    order_n = np.lexsort((rng.random(len(captions)), place_g[group_n]))
    caption_of = np.empty(len(captions), np.int64)
    caption_of[order_n] = np.roll(order_n, -int(count_g.max()))
    images = np.flatnonzero(group_n[caption_of] != group_n)
    return images, caption_of[images]


def mixed(captions: Sequence[str], bad_share: float, rng: np.random.Generator) -> np.ndarray:
    """Return whose caption each image has once a share of the pairs, drawn at random, have exchanged theirs: int64 (n,).

    Two pairs at least are exchanged and two at least are left, as far as there are four.
    """
    count = len(captions)
    some = rng.permutation(count)[: int(np.clip(round(bad_share * count), min(2, count), max(0, count - 2)))]
    images, others = exchange([captions[pair] for pair in some], rng)
    caption_of = np.arange(count)
    caption_of[some[images]] = some[others]
    return caption_of
