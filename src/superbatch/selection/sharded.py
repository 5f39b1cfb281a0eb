"""Joint selection across ranks: each scores its slice of the super-batch, and all get the same picks as one process would.

Slots (samples in order of row) lie on a fixed grid of tiles. Each rank is dealt whole tiles, so that a tile's numbers
come from the same products of the same shapes whatever the number of ranks; per chunk the ranks exchange the largest key,
their best K candidates and the embeddings of the K chosen (docs/selection.md has the bytes). Shapes: B super-batch, n
this rank's slice, W ranks.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from superbatch.errors import UserError
from superbatch.losses import LossName
from superbatch.selection.arguments import checked_gain, checked_rows, checked_rule, checked_tile, chunk_sizes, whole
from superbatch.selection.criteria import Criterion, Term, score_terms
from superbatch.selection.draw import Draw, Plan, independent_slots, own_scores
from superbatch.selection.embeddings import PairEmbeddings
from superbatch.selection.holders import Sharded, gather_uneven
from superbatch.selection.precision import full_precision
from superbatch.selection.result import Selection


@torch.no_grad()
def select_jointly_sharded(
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
    compare_independent: bool = False,
    communication: torch.dtype | None = None,
    group: dist.ProcessGroup | None = None,
) -> Selection:
    """As `select_jointly` over the slices of all ranks, laid end to end by rank; collective.

    Every rank gets the same result: on equal embeddings and one kind of device the indices and scores that a single
    process would have, to the bit, for any number of ranks and any slices. Work O(B b D / W), memory O(B D / W + b D / N
    + a tile) a rank.

    Args:
        learner: the learner's embeddings of this rank's slice; may be None for "easy_reference".
        reference: the reference's, likewise; may be None for "hard_learner" and "easy_learner".
        num_select: b, of the whole super-batch.
        num_chunks: as in `select_jointly`, and so are gain, criterion, loss, seed and step: the same on all ranks.
        rows: int64 [n], the slice's row numbers (default: places in the super-batch).
        tile: candidates a tile, the same on all ranks; tiles are what is dealt to ranks.
        compare_independent: as in `select_jointly`.
        communication: the type in which embeddings are sent and compared (default: as they are). The picks are those of
            one process on embeddings of this type.
        group: of ranks (default: all). A rank without samples is not allowed; slices may differ in size.

    Returns:
        Indices are places in the whole super-batch, scores [B] are of all of it.

    Raises:
        UserError: as in `select_jointly`; no process group; ranks that do not agree on what is asked for. Every rank
            raises, so that none waits for the others.
    """
    holders = _holders(group)
    asked = (num_select, num_chunks, gain, criterion, loss, seed, step, tile, communication, rows is None)
    try:
        terms = [_in_type(term, communication) for term in score_terms(criterion, learner, reference)]
        checked = checked_rows(rows, terms[0].pairs)
        rule, gain = checked_rule(loss, terms), checked_gain(gain)
        seed, step = whole("seed", seed), whole("step", step)
    except UserError as error:
        _agree(holders, asked, [], error)
        raise
    counts = _agree(holders, asked, terms, None)
    sizes = chunk_sizes(sum(counts), num_select, num_chunks)
    plan = Plan(rule, sizes, gain, seed, step, checked_tile(tile, sizes, terms))
    with full_precision(checked.device.type):
        return _select(holders, terms, checked, counts, plan, places=rows is None, compare=compare_independent)


class _Dealt(NamedTuple):
    """What one rank holds of the grid."""

    terms: list[Term]  # in the order received
    order_B: Tensor  # by slot: where it was received


def _select(
    holders: Sharded,
    terms: list[Term],
    rows_n: Tensor,
    counts: list[int],
    plan: Plan,
    *,
    places: bool,
    compare: bool,
) -> Selection:
    """Distribute the tiles, draw, and share all scores with every rank."""
    total, rank = sum(counts), holders.group.rank()
    rows_B = torch.arange(total, device=rows_n.device) if places else gather_uneven(holders.group, rows_n, counts)
    sorted_B, order_B = rows_B.sort(stable=True)
    edges = _edges(total, plan.tile, len(counts))
    slots = [stop - start for start, stop in pairwise(edges)]
    holders = holders.holding(edges[rank], slots)
    terms = _with_reach(holders, terms)
    dealt = _deal(holders, terms, order_B, counts, edges)
    own_n = own_scores(dealt.terms, plan.rule)[dealt.order_B]
    held = slice(edges[rank], edges[rank + 1])
    slots_b, conditional_b = Draw(dealt.terms, sorted_B[held], dealt.order_B, own_n, plan, holders).run()
    own_B = gather_uneven(holders.group, own_n, slots)
    scores_B = torch.empty_like(own_B).index_copy_(0, order_B, own_B)
    alone = order_B[independent_slots(own_B, sorted_B, plan)] if compare else None
    return Selection(order_B[slots_b], scores_B, conditional_b, plan.sizes, plan.gain, alone)


def _holders(group: dist.ProcessGroup | None) -> Sharded:
    if not (dist.is_available() and dist.is_initialized()):
        remedy = "call torch.distributed.init_process_group first, or select_jointly in a single process"
        raise UserError("group", "no process group has been started", remedy)
    group = dist.group.WORLD if group is None else group
    if not isinstance(group, dist.ProcessGroup):
        raise UserError("group", "this rank is not a member", "call on the members only")
    return Sharded(group)


def _in_type(term: Term, dtype: torch.dtype | None) -> Term:
    pairs = term.pairs
    if dtype is None or pairs.image_ND.dtype == dtype:
        return term
    sides = pairs.image_ND.to(dtype), pairs.text_ND.to(dtype)
    return Term(term.sign, PairEmbeddings(*sides, pairs.scale, pairs.bias, pairs.name))


def _agree(holders: Sharded, asked: tuple[object, ...], terms: list[Term], error: UserError | None) -> list[int]:
    """Gather how many samples each rank has; a UserError on all ranks if one has failed or uses other settings."""
    sides = [term.pairs.image_ND for term in terms]
    models = [
        (t.pairs.scale, t.pairs.bias, side.shape[1], side.dtype, side.device.type)
        for t, side in zip(terms, sides, strict=True)
    ]
    digest = hashlib.blake2b(repr((asked, models)).encode(), digest_size=8).digest()
    count = 0 if error else terms[0].pairs.count
    device = _voice(holders.group, sides[0].device if sides else None)
    said = torch.tensor([count, int.from_bytes(digest, "big", signed=True)], device=device)
    told = holders.gather(said).tolist()
    failed = [str(rank) for rank, (samples, _) in enumerate(told) if not samples]
    if failed and not error:
        raise UserError(f"rank {', '.join(failed)}", "could not take part", "its own message says why")
    if not error and len({fingerprint for _, fingerprint in told}) > 1:
        what = "are not the same on all ranks"
        raise UserError(
            "arguments", what, "give every rank the same settings, temperatures, dimensions, types and devices"
        )
    return [samples for samples, _ in told]


def _voice(group: dist.ProcessGroup, holding: torch.device | None) -> torch.device:
    """Choose the device for collectives before the ranks have agreed on anything.

    The kind of device goes by the group alone: else ranks with embeddings on a GPU would wait there for one that has none
    to show and speaks from the host. The host it is if the group can.
    """
    kinds = [pair.split(":")[0] for pair in dist.get_backend_config(group).split(",")]  # such as cpu:gloo,cuda:nccl
    if "cpu" in kinds:
        return torch.device("cpu")
    return holding if holding is not None and holding.type in kinds else torch.device(kinds[0])


def _edges(total: int, tile: int, world: int) -> list[int]:
    """Slots at which each rank's tiles begin, and the end: whole tiles, as evenly as possible."""
    tiles = -(-total // tile)
    return [min(total, rank * tiles // world * tile) for rank in range(world + 1)]


def _with_reach(holders: Sharded, terms: list[Term]) -> list[Term]:
    """The same, knowing the longest embeddings of all ranks: how sums are folded goes by them."""
    device = terms[0].pairs.image_ND.device
    lengths_M2 = torch.tensor([term.pairs.lengths for term in terms], dtype=torch.float64, device=device)
    dist.all_reduce(lengths_M2, dist.ReduceOp.MAX, group=holders.group)
    views = zip(terms, lengths_M2.tolist(), strict=True)
    return [Term(t.sign, t.pairs.holding(t.pairs.image_ND, t.pairs.text_ND, (a, b))) for t, (a, b) in views]


def _deal(holders: Sharded, terms: list[Term], order_B: Tensor, counts: list[int], edges: list[int]) -> _Dealt:
    """Sends every sample to the rank that holds its slot."""
    rank, device = holders.group.rank(), order_B.device
    ends = torch.tensor(counts, device=device).cumsum(0)
    slot_B = torch.empty_like(order_B).index_copy_(0, order_B, torch.arange(len(order_B), device=device))
    start = sum(counts[:rank])
    slots_n, send_n = slot_B[start : start + counts[rank]].sort()
    borders = torch.searchsorted(slots_n, torch.tensor(edges, device=device))
    senders = torch.searchsorted(ends, order_B[edges[rank] : edges[rank + 1]], right=True)
    received = senders.argsort(stable=True)
    send, receive = borders.diff().tolist(), senders.bincount(minlength=len(counts)).tolist()
    place_B = torch.empty_like(received).index_copy_(0, received, torch.arange(len(received), device=device))
    return _Dealt([_swap(holders, term, send_n, send, receive) for term in terms], place_B)


def _swap(holders: Sharded, term: Term, order_n: Tensor, send: list[int], receive: list[int]) -> Term:
    """One model's embeddings, to and from all ranks, as bytes: both sides of a sample in one piece."""
    pairs = term.pairs
    dim, size = pairs.image_ND.shape[1], pairs.image_ND.element_size()
    mine = torch.cat([pairs.image_ND[order_n], pairs.text_ND[order_n]], 1).view(torch.uint8)
    theirs = mine.new_empty(sum(receive), 2 * dim * size)
    dist.all_to_all_single(theirs, mine, receive, send, group=holders.group)
    image, text = theirs.view(pairs.image_ND.dtype).split(dim, 1)
    return Term(term.sign, pairs.holding(image, text, pairs.lengths))
