"""Conditional scores: each sample's score once some samples have been chosen. Shapes: B super-batch, K chosen."""

from __future__ import annotations

import torch
from torch import Tensor

from superbatch.errors import UserError
from superbatch.losses import LossName
from superbatch.selection.arguments import checked_rule, checked_tile
from superbatch.selection.criteria import Criterion, score_terms
from superbatch.selection.draw import given_scores
from superbatch.selection.embeddings import PairEmbeddings
from superbatch.selection.precision import full_precision


@torch.no_grad()
def scores_given(
    chosen_K: Tensor,
    learner: PairEmbeddings | None,
    reference: PairEmbeddings | None,
    *,
    criterion: Criterion = "learnability",
    loss: LossName = "sigmoid",
    tile: int | None = None,
) -> Tensor:
    """Scores of a super-batch's samples given that some of them have been chosen (JEST, Algorithms 1 and 3).

    Args:
        chosen_K: int64, which samples; distinct, one or more.
        learner, reference, criterion, loss, tile: as for `select_jointly`.

    Returns:
        float64 [B]; NaN for those that have been chosen.

    Raises:
        UserError: what does not fit, and where.
    """
    terms = score_terms(criterion, learner, reference)
    count, device = terms[0].pairs.count, terms[0].pairs.image_ND.device
    chosen_K = chosen_K.to(device=device, dtype=torch.int64)
    if (
        not len(chosen_K)
        or len(chosen_K.unique()) < len(chosen_K)
        or not bool(((chosen_K >= 0) & (chosen_K < count)).all())
    ):
        raise UserError(
            "chosen", f"does not name distinct samples of {count}", f"give numbers from 0 to {count - 1}, each once"
        )
    with full_precision(device.type):
        rule = checked_rule(loss, terms)
        scores_B = given_scores(terms, rule, chosen_K, checked_tile(tile, (len(chosen_K),), terms))
    return scores_B.index_fill_(0, chosen_K, torch.nan)
