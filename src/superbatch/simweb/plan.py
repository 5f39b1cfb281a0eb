"""The plan of the pool: which pair is damaged how, and whose image and caption it carries."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superbatch.errors import UserError
from superbatch.options import SimwebSettings
from superbatch.simweb import words
from superbatch.simweb.damage import DAMAGE_KINDS
from superbatch.simweb.draws import Draws, Ints, permutation
from superbatch.simweb.scenes import zipf_weights

POOL = "pool"
_CLEAN, _MISMATCHED, _OFF_TOPIC, _NEAR_DUPLICATE = map(
    DAMAGE_KINDS.index, ("clean", "mismatched", "off_topic", "near_duplicate")
)


@dataclass(frozen=True)
class PoolPlan:
    """One row a pair of the pool.

    Attributes:
        index: int64[n], the pair's number in the pool.
        kind: int64[n], number in DAMAGE_KINDS.
        image_of: int64[n], the pair whose scene it shows: itself, or for a near-duplicate an earlier clean pair.
        caption_of: int64[n], the pair whose scene its caption describes.
        image_concept, caption_concept: int64[n], the main concepts of those two scenes.
    """

    index: Ints
    kind: Ints
    image_of: Ints
    caption_of: Ints
    image_concept: Ints
    caption_concept: Ints

    def rows(self, rows: slice) -> PoolPlan:
        """Return some of the rows."""
        return PoolPlan(**{f.name: getattr(self, f.name)[rows] for f in dataclasses.fields(self)})


def plan_pool(settings: SimwebSettings) -> PoolPlan:
    """Deal out concepts and damage over the whole pool: shares exact, the rest drawn by seed and pair number."""
    index = np.arange(settings.pool_pairs)
    draws = Draws(settings.seed, POOL, index)
    concept = draws.weighted("concept", pool_weights(settings))
    kind = deal_kinds(settings)
    image_of = np.where(kind == _NEAR_DUPLICATE, _earlier_clean(kind, draws), index)
    caption_of = image_of.copy()
    mismatched = np.flatnonzero(kind == _MISMATCHED)
    donors = np.flatnonzero((image_of == index) & (kind != _OFF_TOPIC))
    caption_of[mismatched] = _other_pair(donors, concept, draws.subset(mismatched))
    return PoolPlan(index, kind, image_of, caption_of, concept[image_of], concept[caption_of])


def pool_weights(settings: SimwebSettings) -> NDArray[np.float64]:
    """Return float64[concepts]: the pool's heavy tail over a ranking of the concepts that the seed permutes."""
    return zipf_weights(settings.zipf_exponent, permutation(settings.seed, "concept ranking", words.NUM_CONCEPTS))


def exact_counts(shares: dict[str, float], total: int) -> dict[str, int]:
    """Split a total by shares to whole numbers that add up to it (largest remainders; ties go to the first named).

    Raises:
        UserError: an unknown kind of damage.
    """
    for name in shares:
        if name not in DAMAGE_KINDS:
            raise UserError("simweb.shares", f"unknown kind of pair {name!r}", f"use {', '.join(DAMAGE_KINDS)}")
    exact = np.array([shares.get(name, 0.0) for name in DAMAGE_KINDS]) * total
    counts = np.floor(exact + 1e-9).astype(int)
    by_remainder = np.argsort(-(exact - counts), kind="stable")
    counts[by_remainder[: total - counts.sum()]] += 1
    return dict(zip(DAMAGE_KINDS, counts.tolist(), strict=True))


def deal_kinds(settings: SimwebSettings) -> Ints:
    """Return int64[n], the kind of each pair; pair 0 is clean, so that every near-duplicate finds one to copy.

    Raises:
        UserError: near-duplicates are asked for, but no clean pair.
    """
    counts = exact_counts(settings.shares, settings.pool_pairs)
    kind = np.empty(settings.pool_pairs, dtype=np.int64)
    dealt = np.repeat(np.arange(len(DAMAGE_KINDS)), list(counts.values()))
    kind[permutation(settings.seed, "kinds", settings.pool_pairs)] = dealt
    if counts["near_duplicate"] and not counts["clean"]:
        raise UserError(
            "simweb.shares.near_duplicate", "there is no clean pair to duplicate", "raise shares.clean or pool_pairs"
        )
    if counts["clean"]:
        first = int(np.argmax(kind == _CLEAN))
        kind[0], kind[first] = kind[first], kind[0]
    return kind


def _earlier_clean(kind: Ints, draws: Draws) -> Ints:
    """Draw for each pair a clean one with a smaller number (0 where there is none, which only clean pair 0 can be)."""
    clean = np.flatnonzero(kind == _CLEAN)
    before = np.cumsum(kind == _CLEAN) - (kind == _CLEAN)
    if not len(clean):
        return np.zeros_like(kind)
    return clean[draws.integers("original", before.clip(min=1))]


def _other_pair(donors: Ints, concept: Ints, draws: Draws, tries: int = 32) -> Ints:
    """Draw for each member one of the donors, whose scenes are in the pool, with another main concept.

    Where all tries fail (a pool of one concept), simply another donor.

    Raises:
        UserError: there are members, but no two donors.
    """
    if not len(draws):
        return draws.index
    if len(donors) < 2:
        raise UserError("simweb.shares.mismatched", f"{len(donors)} scenes give no other caption", "raise pool_pairs")
    result = donors[draws.integers("donor", len(donors))]
    for attempt in range(tries):
        alike = np.flatnonzero(concept[result] == concept[draws.index])
        if not len(alike):
            break
        result[alike] = donors[draws.subset(alike).integers(f"donor {attempt}", len(donors))]
    following = donors[(np.searchsorted(donors, result) + 1) % len(donors)]
    return np.where(result == draws.index, following, result)
