"""The draw: chunk after chunk by Gumbel top-k, each chunk given the ones before. Shapes: B slots held here, K chunk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from superbatch.selection.candidates import Candidates
from superbatch.selection.criteria import Term
from superbatch.selection.holders import Alone, Top
from superbatch.selection.interactions import Interactions, LossRule, own_losses
from superbatch.selection.noise import gumbel

# Numbers drawn in one call: few calls at small sizes, little memory at large ones.
_NOISE_AT_ONCE = 1 << 18


class Plan(NamedTuple):
    """The parameters of a draw, the same on every rank."""

    rule: LossRule
    sizes: tuple[int, ...]
    gain: float
    seed: int
    step: int
    tile: int


def own_scores(terms: list[Term], rule: LossRule) -> Tensor:
    """float64 [B]: the unconditional scores."""
    return torch.stack([term.sign * own_losses(term.pairs, rule) for term in terms]).sum(0)


def given_scores(terms: list[Term], rule: LossRule, chosen_K: Tensor, tile: int) -> Tensor:
    """float64 [B]: each sample's score given that some have been chosen, as the draw counts it; without meaning for the chosen."""
    own_B = own_scores(terms, rule)
    rows_B = torch.arange(len(own_B), device=own_B.device)
    draw = Draw(terms, rows_B, rows_B, own_B, Plan(rule, (len(chosen_K),), 0.0, 0, 0, tile), Alone())
    return draw.given([Interactions(term, rule, rows_B) for term in terms], chosen_K)


class Draw:
    """Slots being drawn from: samples in order of row, so that layout changes nothing and equal keys go to the lower
    row.

    Args:
        terms: the models' embeddings of the slots held here, in any order.
        rows_B: int64, row numbers by slot.
        order_B: int64, where in `terms` each slot's sample lies.
        own_B: float64, unconditional scores by slot.
        plan: what to draw.
        holders: who holds the slots, and how others are reached; the slots held here begin at a tile's border.
    """

    def __init__(
        self, terms: list[Term], rows_B: Tensor, order_B: Tensor, own_B: Tensor, plan: Plan, holders: Alone
    ) -> None:
        self.terms, self.plan, self.holders = terms, plan, holders
        self.rows_B, self.order_B, self.own_B = rows_B, order_B, own_B
        self.candidates = Candidates(len(rows_B), plan.tile, rows_B.device)

    def run(self) -> tuple[Tensor, Tensor]:
        """Slots [b] of all ranks together in the order chosen, and their scores when chosen [b]."""
        plan, given_B = self.plan, self.own_B
        chosen: list[Top] = []
        interactions: list[Interactions] = []
        for chunk, noise_B in enumerate(_noise(plan.seed, plan.step, len(plan.sizes), self.rows_B)):
            chosen.append(self._top(given_B, noise_B, plan.sizes[chunk]))
            if chunk + 1 == len(plan.sizes):
                break
            interactions = interactions or [Interactions(term, plan.rule, self.order_B) for term in self.terms]
            given_B = self.given(interactions, chosen[-1].slots_K)
        return torch.cat([top.slots_K for top in chosen]), torch.cat([top.given_K for top in chosen])

    def given(self, interactions: list[Interactions], slots_K: Tensor) -> Tensor:
        """float64 [B]: scores by slot, given the newly chosen and those before them."""
        self._count(interactions, slots_K)
        added_B = torch.stack([part.scores() for part in interactions]).sum(0)
        return self.own_B + added_B[self.candidates.place_B]

    def _top(self, given_B: Tensor, noise_B: Tensor, count: int) -> Top:
        """Gumbel top-k: the slots of largest gain * score + noise are draws without replacement (Plackett-Luce)."""
        keys_B = (given_B * self.plan.gain).masked_fill_(self.candidates.taken_B, -torch.inf)
        keys_B.sub_(self.holders.largest(keys_B)).add_(noise_B)
        places = largest(keys_B, min(count, len(keys_B)))
        return self.holders.merge(keys_B, given_B, places, count)

    def _count(self, interactions: list[Interactions], slots_K: Tensor) -> None:
        """Remove the chosen from the candidates and add their pairs to the scores of the rest."""
        chosen_2KD = [self.holders.rows(part, self.candidates.place_B, slots_K) for part in interactions]
        moved = self.candidates.take(self.holders.here(slots_K))
        for part, chosen in zip(interactions, chosen_2KD, strict=True):
            if moved is not None:
                part.move(*moved)
            part.add(chosen, self.candidates)


def independent_slots(own_B: Tensor, rows_B: Tensor, plan: Plan) -> Tensor:
    """Slots [b] that independent selection picks: the first chunk's keys, all of b at once."""
    return gumbel_top(own_B, rows_B, sum(plan.sizes), plan.gain, plan.seed, plan.step)


def gumbel_top(own_B: Tensor, rows_B: Tensor, count: int, gain: float, seed: int, step: int) -> Tensor:
    """Slots [count] of the largest gain * score + noise, by the noise of a step's first chunk; float64 [B], int64 [B] by slot."""
    noise_B = gumbel(seed, step, range(1), rows_B)[0]
    keys_B = own_B * gain
    return largest(keys_B.sub_(keys_B.max()).add_(noise_B), count)


def largest(keys_B: Tensor, count: int) -> Tensor:
    """Places of the `count` largest keys in falling order, the earlier place first among equals."""
    if keys_B.is_cuda or 4 * count >= len(keys_B):
        return keys_B.sort(descending=True, stable=True).indices[:count]
    # Without a device to wait for it is quicker to sort only what reaches the smallest key that counts.
    reach = (keys_B >= keys_B.topk(count, sorted=False).values.min()).nonzero().squeeze(1)
    return reach[keys_B[reach].sort(descending=True, stable=True).indices[:count]]


def _noise(seed: int, step: int, chunks: int, rows_B: Tensor) -> Iterator[Tensor]:
    """Each chunk's own noise, made for several chunks at a time."""
    block = max(1, _NOISE_AT_ONCE // max(1, len(rows_B)))
    for start in range(0, chunks, block):
        yield from gumbel(seed, step, range(start, min(start + block, chunks)), rows_B)
