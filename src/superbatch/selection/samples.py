"""Select samples by any given scores: a classifier's loss, a filter's score, a difference of the two.

Shapes: B super-batch, b sub-batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from superbatch.errors import UserError
from superbatch.selection.arguments import checked_gain, chunk_sizes, row_numbers, whole
from superbatch.selection.draw import gumbel_top
from superbatch.selection.result import Selection


@torch.no_grad()
def select_by_scores(
    scores_B: Tensor,
    num_select: int,
    *,
    gain: float = 1.0,
    seed: int = 0,
    step: int = 0,
    rows: Tensor | None = None,
) -> Selection:
    """Draws `num_select` distinct samples with probabilities proportional to exp(gain * score), one after the other.

    As `select_independently`, which makes the scores of pairs itself: on equal scores the picks are the same.

    Args:
        scores_B: of any float type; the higher, the likelier.
        num_select: b.
        gain: the factor on the score before exp; 0 draws uniformly.
        seed: of the run.
        step: of the training; fresh noise each step.
        rows: int64 [B], the samples' numbers in the manifest (default 0..B-1): noise and ties go by them.

    Raises:
        UserError: what does not fit, and where; a score that is not finite.
    """
    if scores_B.ndim != 1 or not scores_B.is_floating_point():
        raise UserError("scores", f"are {scores_B.dtype} {list(scores_B.shape)}", "give one number for each sample")
    bad_n = scores_B.isfinite().logical_not().nonzero()
    if len(bad_n):
        what = f"sample {int(bad_n[0])} has {float(scores_B[bad_n[0]])}"
        raise UserError("scores", what, "find out why the model gave it, such as a learning rate too high")
    rows_B = row_numbers(rows, len(scores_B), scores_B.device)
    sizes = chunk_sizes(len(scores_B), num_select, 1)
    sorted_B, order_B = rows_B.sort(stable=True)
    own_B = scores_B.double()
    checked = checked_gain(gain), whole("seed", seed), whole("step", step)
    chosen_b = order_B[gumbel_top(own_B[order_B], sorted_B, num_select, *checked)]
    return Selection(chosen_b, own_B, own_B[chosen_b], sizes, checked[0])
