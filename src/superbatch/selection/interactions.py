"""How the chosen samples change the scores of the others, without a matrix of all pairs.

Of the B x B pair losses only those between a candidate and a chosen sample ever count (JEST, Algorithms 1 and 3). So
per chunk each model's products of the K newly chosen with the candidates, a tile at a time, are reduced to one or two
numbers a candidate and added to a running state: sums for the sigmoid loss, log-sum-exps for the softmax loss.

Shapes: B super-batch, K newly chosen, C candidates of one tile, D dimensions; 2 = the two directions (the candidate's
text against the chosen's images, the candidate's image against the chosen's texts).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from superbatch.losses.sigmoid import softplus_sum
from superbatch.losses.softmax import log_sum_exp
from superbatch.selection.candidates import Candidates
from superbatch.selection.criteria import Term
from superbatch.selection.embeddings import PairEmbeddings

# Of the embeddings, where they are widened or multiplied: what a cache holds and a GPU's cores are busy with.
_NUMBERS_AT_ONCE = 1 << 20


class LossRule(NamedTuple):
    """How one loss splits into a sample's own part and its running interactions with the chosen."""

    own: Callable[[Tensor], Tensor]  # logit of the pair [B] -> its loss [B]
    uses_bias: bool
    empty: tuple[float, ...]  # the state of a candidate before anything is chosen
    reduce: Callable[[Tensor, float], Tensor]  # (logits [2, K, C], upper bound) -> [len(empty), C]
    merge: Callable[[Tensor, Tensor], Tensor]  # (state, reduced) -> state
    read: Callable[[Tensor], Tensor]  # state [len(empty), B] -> what it adds to the loss [B]


RULES: dict[str, LossRule] = {
    "sigmoid": LossRule(
        own=lambda logit_B: -functional.logsigmoid(logit_B),
        uses_bias=True,
        empty=(0.0,),
        reduce=lambda logits_2KC, upper: softplus_sum(logits_2KC, upper).unsqueeze(0),
        merge=torch.add,
        read=lambda state_1B: state_1B[0],
    ),
    "softmax": LossRule(
        own=torch.neg,
        uses_bias=False,
        empty=(-torch.inf, -torch.inf),
        reduce=lambda logits_2KC, _: log_sum_exp(logits_2KC),
        merge=torch.logaddexp,
        read=lambda state_2B: state_2B.mean(0),
    ),
}


def own_losses(pairs: PairEmbeddings, rule: LossRule) -> Tensor:
    """float64 [B]: each sample's loss in an empty batch, -log sigmoid(logit) or -logit."""
    dtype, rows = pairs.compute_dtype, max(1, _NUMBERS_AT_ONCE // pairs.image_ND.shape[1])
    blocks = zip(pairs.image_ND.split(rows), pairs.text_ND.split(rows), strict=True)
    dots_B = torch.cat([torch.linalg.vecdot(image.to(dtype), text.to(dtype)) for image, text in blocks]).double()
    return rule.own(dots_B * pairs.scale + _bias(pairs, rule))


def _bias(pairs: PairEmbeddings, rule: LossRule) -> float:
    """What a loss adds to each logit; `checked_rule` refuses one that needs a bias where there is none."""
    return (pairs.bias or 0.0) if rule.uses_bias else 0.0


class Interactions:
    """One model's running interactions of all candidates with the samples chosen so far.

    Works on a copy in which `Candidates.take` and `move` keep the candidates of each tile in front, so that a chosen
    sample costs nothing any more.
    """

    def __init__(self, term: Term, rule: LossRule, order_B: Tensor) -> None:
        self.sign, self.rule = term.sign, rule
        self.scale, self.bias = term.pairs.scale, _bias(term.pairs, rule)
        self.upper = term.pairs.reach + self.bias
        dtype = term.pairs.image_ND.dtype
        if dtype != term.pairs.compute_dtype and order_B.device.type != "cuda":
            dtype = (
                torch.float32
            )  # only CUDA multiplies half types into float32; elsewhere their exact values are widened
        self.embeddings_2BD = _copy(term.pairs, order_B, dtype)
        self.bias_111 = torch.full((1, 1, 1), self.bias, dtype=term.pairs.compute_dtype, device=order_B.device)
        self.state_SB = torch.tensor(rule.empty, dtype=torch.float64, device=order_B.device)
        self.state_SB = self.state_SB.unsqueeze(1).repeat(1, len(order_B))

    def chosen(self, places_K: Tensor) -> Tensor:
        """[2, K, D]: images, then texts, at these places: what a candidate's text, then image, is compared with."""
        return self.embeddings_2BD.index_select(1, places_K).flip(0)

    def add(self, chosen_2KD: Tensor, candidates: Candidates) -> None:
        """Adds the pairs with the newly chosen to the states of the candidates, a tile at a time or all in one kernel."""
        if fusable(self.embeddings_2BD):
            self.state_SB.copy_(self.rule.merge(self.state_SB, self._fused(chosen_2KD, candidates)))
            return
        for start, stop in candidates.spans():
            logits_2KC = self._logits(chosen_2KD, self.embeddings_2BD[:, start:stop])
            state = self.state_SB[:, start:stop]
            state.copy_(self.rule.merge(state, self.rule.reduce(logits_2KC, self.upper)))

    def _fused(self, chosen_2KD: Tensor, candidates: Candidates) -> Tensor:
        from superbatch.selection.fused import pair_sums  # Triton is there only where a GPU may be

        softmax = len(self.rule.empty) == 2
        return pair_sums(
            chosen_2KD.contiguous(), self.embeddings_2BD, *candidates.alive(), self.scale, self.bias, softmax
        )

    def _logits(self, chosen_2KD: Tensor, tile_2CD: Tensor) -> Tensor:
        tile_2DC = tile_2CD.transpose(1, 2)
        if chosen_2KD.dtype in (torch.float32, torch.float64):
            return torch.baddbmm(self.bias_111, chosen_2KD, tile_2DC, alpha=self.scale)
        return torch.bmm(chosen_2KD, tile_2DC, out_dtype=torch.float32).mul_(self.scale).add_(self.bias)

    def move(self, target: Tensor, source: Tensor) -> None:
        """Overwrites the places `target` with what lies at `source`."""
        for kept in (self.embeddings_2BD, self.state_SB):
            kept.index_copy_(1, target, kept.index_select(1, source))

    def scores(self) -> Tensor:
        """float64 [B], by place: the signed loss that the chosen samples add to each candidate."""
        return self.rule.read(self.state_SB) * self.sign


def fusable(embeddings: Tensor) -> bool:
    """Whether the Triton kernel serves: half types on CUDA, for which the GPU's matrix units are made."""
    halves = (torch.float16, torch.bfloat16)
    return embeddings.is_cuda and embeddings.dtype in halves and find_spec("triton") is not None


def _copy(pairs: PairEmbeddings, order_B: Tensor, dtype: torch.dtype) -> Tensor:
    """[2, B, D]: texts, then images, in the given order."""
    copy_2BD = torch.empty(2, *pairs.image_ND.shape, dtype=dtype, device=order_B.device)
    for half, side in zip(copy_2BD, (pairs.text_ND, pairs.image_ND), strict=True):
        if side.dtype == dtype:
            torch.index_select(side, 0, order_B, out=half)
        else:
            half.copy_(side.index_select(0, order_B))
    return copy_2BD
