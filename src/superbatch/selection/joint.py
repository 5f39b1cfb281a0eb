"""Joint example selection (JEST): a sub-batch drawn chunk by chunk, each chunk given the ones before.

Source: "Data curation via joint example selection further accelerates multimodal learning" (arXiv 2406.17711), section
3.1 and Algorithms 1-3; docs/selection.md has the mathematics and where the printed pseudo-code errs. Shapes: B
super-batch, K chunk.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator

import torch
from torch import Tensor

from superbatch.errors import UserError
from superbatch.losses import LossName
from superbatch.selection.candidates import Candidates
from superbatch.selection.criteria import Criterion, Term, score_terms
from superbatch.selection.embeddings import PairEmbeddings
from superbatch.selection.interactions import RULES, Interactions, LossRule, own_losses
from superbatch.selection.noise import gumbel
from superbatch.selection.result import Selection

# Numbers drawn in one call: few calls at small sizes, little memory at large ones.
_NOISE_AT_ONCE = 1 << 18
# More gain than this could overflow, and changes nothing.
_GREEDY = 1e100


@torch.no_grad()
def select_jointly(
    learner: PairEmbeddings | None,
    reference: PairEmbeddings | None,
    num_select: int,
    *,
    num_chunks: int = 16,
    gain: float = 100.0,
    criterion: Criterion = "learnability",
    loss: LossName = "sigmoid",
    seed: int = 0,
    step: int = 0,
    rows: Tensor | None = None,
    tile: int | None = None,
) -> Selection:
    """Draws `num_select` distinct samples of a super-batch, jointly (JEST, Algorithms 1 and 3).

    Chunks of equal size (+-1) are drawn with probabilities proportional to exp(gain * score), where the score of a
    candidate counts its pairs with all samples of earlier chunks; inside a chunk one after the other without
    replacement. Work O(B b D), memory O(B D + a tile); no B x B matrix. A pure function of its arguments: same seed,
    step and rows, same picks.

    Args:
        learner: the learner's embeddings of the super-batch; may be None for "easy_reference".
        reference: the reference's, same samples in the same order; may be None for "hard_learner".
        num_select: b, the size of the sub-batch.
        num_chunks: N; capped at b.
        gain: the factor on the score before exp; 0 draws uniformly, the paper's default of 100 is close to greedy.
        criterion: "learnability" (learner loss - reference loss), "easy_reference" (- reference loss) or
            "hard_learner".
        loss: "sigmoid" or "softmax": the loss by which pairs are scored.
        seed: of the run.
        step: of the training; fresh noise each step.
        rows: int64 [B], the samples' numbers in the manifest (default 0..B-1): noise and ties go by them, so the picks
            do not depend on how the super-batch is laid out.
        tile: candidates a tile; changes memory and speed only.

    Returns:
        The picks with their scores, on the device of the embeddings.

    Raises:
        UserError: what does not fit, and where (shapes, row counts, b > B, missing model, unknown name).
    """
    terms = score_terms(criterion, learner, reference)
    rule, rows = _rule(loss), _rows(rows, terms[0].pairs)
    sizes = chunk_sizes(len(rows), num_select, num_chunks)
    tile = _tile(tile, sizes, rows.device)
    seed, step = _whole("seed", seed), _whole("step", step)
    with torch.autocast(rows.device.type, enabled=False):
        return _Draw(terms, rule, rows, _gain(gain)).run(sizes, seed, step, tile)


class _Draw:
    """One super-batch being drawn from, in order of row: layout changes nothing, equal keys go to the lower row."""

    def __init__(self, terms: list[Term], rule: LossRule, rows_B: Tensor, gain: float) -> None:
        self.terms, self.rule, self.gain = terms, rule, gain
        self.rows_B, self.order_B = rows_B.sort(stable=True)
        own_B = torch.stack([term.sign * own_losses(term.pairs, rule) for term in terms]).sum(0)
        self.scores, self.own_B = own_B, own_B[self.order_B]
        self.candidates = Candidates(len(rows_B), rows_B.device)

    def run(self, sizes: tuple[int, ...], seed: int, step: int, tile: int) -> Selection:
        chosen: list[Tensor] = []
        conditional: list[Tensor] = []
        interactions: list[Interactions] = []
        given_B = self.own_B
        for chunk, noise_B in enumerate(_noise(seed, step, len(sizes), self.rows_B)):
            slots_K = self._top(given_B, noise_B, sizes[chunk])
            chosen.append(slots_K)
            conditional.append(given_B[slots_K])
            if chunk + 1 == len(sizes):
                break
            interactions = interactions or [Interactions(term, self.rule, self.order_B) for term in self.terms]
            self._count(interactions, slots_K, tile)
            added_B = torch.stack([part.scores() for part in interactions]).sum(0)
            given_B = self.own_B + added_B[self.candidates.place_B]
        return Selection(self.order_B[torch.cat(chosen)], self.scores, torch.cat(conditional), sizes)

    def _top(self, given_B: Tensor, noise_B: Tensor, count: int) -> Tensor:
        """Gumbel top-k: the slots of largest gain * score + noise are draws without replacement (Plackett-Luce)."""
        keys_B = (given_B * self.gain).masked_fill_(self.candidates.taken_B, -torch.inf)
        return _largest(keys_B.sub_(keys_B.max()).add_(noise_B), count)

    def _count(self, interactions: list[Interactions], slots_K: Tensor, tile: int) -> None:
        """Takes the chosen out of the candidates and adds their pairs to everybody else's score."""
        places_K = self.candidates.place_B.index_select(0, slots_K)
        chosen_2KD = [part.chosen(places_K) for part in interactions]
        self.candidates.take(slots_K)
        target, source = self.candidates.drop(slots_K)
        for part, chosen in zip(interactions, chosen_2KD, strict=True):
            part.move(target, source)
            part.add(chosen, self.candidates.live, tile)


def _largest(keys_B: Tensor, count: int) -> Tensor:
    """Places of the `count` largest keys in falling order, the earlier place first among equals."""
    if keys_B.is_cuda or 4 * count > len(keys_B):
        return keys_B.sort(descending=True, stable=True).indices[:count]
    # Without a device to wait for it is quicker to sort only what reaches the smallest key that counts.
    reach = (keys_B >= keys_B.topk(count, sorted=False).values.min()).nonzero().squeeze(1)
    return reach[keys_B[reach].sort(descending=True, stable=True).indices[:count]]


def _noise(seed: int, step: int, chunks: int, rows_B: Tensor) -> Iterator[Tensor]:
    """Each chunk's own noise, made for several chunks at a time."""
    block = max(1, _NOISE_AT_ONCE // len(rows_B))
    for start in range(0, chunks, block):
        yield from gumbel(seed, step, range(start, min(start + block, chunks)), rows_B)


def chunk_sizes(num_rows: int, num_select: int, num_chunks: int) -> tuple[int, ...]:
    """Sizes of min(N, b) chunks that sum to exactly b and differ by at most one, larger ones first.

    Raises:
        UserError: b outside 1..B, or N < 1.
    """
    num_select, num_chunks = _whole("num_select", num_select), _whole("num_chunks", num_chunks)
    if not 1 <= num_select <= num_rows:
        raise UserError(
            "num_select", f"is {num_select} of a super-batch of {num_rows}", "choose at least 1 and at most all"
        )
    if num_chunks < 1:
        raise UserError("num_chunks", f"is {num_chunks}", "use 1 or more")
    count = min(num_chunks, num_select)
    size, larger = divmod(num_select, count)
    return (size + 1,) * larger + (size,) * (count - larger)


def _rule(loss: str) -> LossRule:
    if loss not in RULES:
        raise UserError("loss", f"{loss!r} is not known", f"use one of {', '.join(RULES)}")
    return RULES[loss]


def _rows(rows: Tensor | None, pairs: PairEmbeddings) -> Tensor:
    device = pairs.image_ND.device
    if rows is None:
        return torch.arange(pairs.count, device=device)
    if rows.ndim != 1 or len(rows) != pairs.count or rows.is_floating_point() or rows.dtype == torch.bool:
        what = f"is {rows.dtype} {list(rows.shape)} for a super-batch of {pairs.count}"
        raise UserError("rows", what, "give one whole number a sample")
    return rows.to(device=device, dtype=torch.int64)


def _gain(gain: float) -> float:
    if not 0 <= gain <= _GREEDY:
        raise UserError("gain", f"is {gain}", f"give a number from 0 (uniform) to {_GREEDY:g} (the best scores only)")
    return float(gain)


def _whole(where: str, value: int) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise UserError(where, f"is {value!r}", "give a whole number") from None


def _tile(tile: int | None, sizes: tuple[int, ...], device: torch.device) -> int:
    """Candidates a tile: as many as stay in a CPU's cache, or keep a GPU busy."""
    if tile is None:
        elements = 1 << (26 if device.type == "cuda" else 18)
        return max(256, elements // (2 * sizes[0]))
    if _whole("tile", tile) < 1:
        raise UserError("tile", f"is {tile}", "use 1 or more, or leave it out")
    return tile
