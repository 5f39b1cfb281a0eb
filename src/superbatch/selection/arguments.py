"""Check the arguments of a selection before anything is computed."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch import Tensor

from superbatch.errors import UserError
from superbatch.selection.criteria import Term
from superbatch.selection.embeddings import PairEmbeddings
from superbatch.selection.interactions import RULES, LossRule, fusable

# More gain than this could overflow, and changes nothing.
_GREEDY = 1e100


def chunk_sizes(num_rows: int, num_select: int, num_chunks: int) -> tuple[int, ...]:
    """Sizes of min(N, b) chunks that sum to exactly b and differ by at most one, larger ones first.

    Raises:
        UserError: b outside 1..B, or N < 1.
    """
    num_select, num_chunks = whole("num_select", num_select), whole("num_chunks", num_chunks)
    if not 1 <= num_select <= num_rows:
        raise UserError(
            "num_select", f"is {num_select} of a super-batch of {num_rows}", "choose at least 1 and at most all"
        )
    if num_chunks < 1:
        raise UserError("num_chunks", f"is {num_chunks}", "use 1 or more")
    count = min(num_chunks, num_select)
    size, larger = divmod(num_select, count)
    return (size + 1,) * larger + (size,) * (count - larger)


def checked_rule(loss: str, terms: Sequence[Term] = ()) -> LossRule:
    """The rule of the loss called `loss`; another name is a UserError, and so is a model without the bias that it needs."""
    if loss not in RULES:
        raise UserError("loss", f"{loss!r} is not known", f"use one of {', '.join(RULES)}")
    for pairs in (term.pairs for term in terms if RULES[loss].uses_bias):
        if pairs.bias is None:
            what = f"was not given, and the {loss} loss needs it"
            remedy = 'pass loss="softmax" for a model that has none, such as CLIP, or give the bias, such as 0.0'
            raise UserError(f"{pairs.name}.bias", what, remedy)
    return RULES[loss]


def checked_rows(rows: Tensor | None, pairs: PairEmbeddings) -> Tensor:
    """int64 [B] on the device of the embeddings; 0..B-1 where none are given; a UserError where they don't fit."""
    return row_numbers(rows, pairs.count, pairs.image_ND.device)


def row_numbers(rows: Tensor | None, count: int, device: torch.device) -> Tensor:
    """int64 [count] on a device; 0..count-1 where none are given; a UserError where they don't fit."""
    if rows is None:
        return torch.arange(count, device=device)
    if rows.ndim != 1 or len(rows) != count or rows.is_floating_point() or rows.dtype == torch.bool:
        what = f"is {rows.dtype} {list(rows.shape)} for a super-batch of {count}"
        raise UserError("rows", what, "give one whole number for each sample")
    return rows.to(device=device, dtype=torch.int64)


def checked_gain(gain: float) -> float:
    """The gain as a number; a UserError below 0 and where it would overflow."""
    if not 0 <= gain <= _GREEDY:
        raise UserError("gain", f"is {gain}", f"give a number from 0 (uniform) to {_GREEDY:g} (the best scores only)")
    return float(gain)


def whole(where: str, value: int) -> int:
    """A whole number, or a UserError that names `where`."""
    try:
        return operator.index(value)
    except TypeError:
        raise UserError(where, f"is {value!r}", "give a whole number") from None


def checked_tile(tile: int | None, sizes: tuple[int, ...], terms: list[Term]) -> int:
    """Candidates a tile, never by the number of ranks; by default as many as stay in a CPU's cache or keep a GPU busy.

    The kernel has no need of tiles: there they are as small as its blocks, so that many ranks get some.
    """
    if tile is not None:
        return check_tile(tile)
    sides = [term.pairs.image_ND for term in terms]
    if all(fusable(side) for side in sides):
        return 128
    elements = 1 << (26 if sides[0].is_cuda else 18)
    return max(256, elements // (2 * sizes[0]))


def check_tile(tile: int) -> int:
    """The tile, or a UserError below 1."""
    if whole("tile", tile) < 1:
        raise UserError("tile", f"is {tile}", "use 1 or more, or leave it out")
    return tile
