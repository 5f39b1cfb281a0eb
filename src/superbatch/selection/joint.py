"""Joint example selection (JEST): a sub-batch drawn chunk by chunk, each chunk given the ones before.

Source: "Data curation via joint example selection further accelerates multimodal learning" (arXiv 2406.17711), section
3.1 and Algorithms 1-3; docs/selection.md has the mathematics and where the printed pseudo-code errs. Shapes: B
super-batch, K chunk.
"""

from __future__ import annotations

import torch
from torch import Tensor

from superbatch.losses import LossName
from superbatch.selection.arguments import (
    checked_gain,
    checked_rows,
    checked_rule,
    checked_tile,
    chunk_sizes,
    whole,
)
from superbatch.selection.criteria import Criterion, score_terms
from superbatch.selection.draw import Draw, Plan, independent_slots, own_scores
from superbatch.selection.embeddings import PairEmbeddings
from superbatch.selection.holders import Alone
from superbatch.selection.precision import full_precision
from superbatch.selection.result import Selection


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
    compare_independent: bool = False,
) -> Selection:
    """Draws `num_select` distinct samples of a super-batch, jointly (JEST, Algorithms 1 and 3).

    Chunks of equal size (+-1) are drawn with probabilities proportional to exp(gain * score), where the score of a
    candidate counts its pairs with all samples of earlier chunks; inside a chunk one after the other without
    replacement. Work O(B b D), memory O(B D + a tile); no B x B matrix. A pure function of its arguments: same seed,
    step and rows, same picks.

    Args:
        learner: the learner's embeddings of the super-batch; may be None for "easy_reference".
        reference: the reference's, same samples in the same order; may be None for "hard_learner" and "easy_learner".
        num_select: b, the size of the sub-batch.
        num_chunks: N; capped at b.
        gain: the factor on the score before exp; 0 draws uniformly, the paper's default of 100 is close to greedy.
        criterion: "learnability" (learner loss - reference loss), "easy_reference" (- reference loss),
            "hard_learner" (learner loss) or "easy_learner" (- learner loss).
        loss: "sigmoid" or "softmax": the loss by which pairs are scored.
        seed: of the run.
        step: of the training; fresh noise each step.
        rows: int64 [B], the samples' numbers in the manifest (default 0..B-1): noise and ties go by them, so the picks
            do not depend on how the super-batch is laid out.
        tile: candidates a tile; changes memory, speed and the last bits of scores only.
        compare_independent: also find what independent selection would pick, for `Selection.overlap_independent`.

    Returns:
        The picks with their scores, on the device of the embeddings.

    Raises:
        UserError: what does not fit, and where (shapes, row counts, b > B, missing model, unknown name).
    """
    terms = score_terms(criterion, learner, reference)
    rule, rows_B = checked_rule(loss, terms), checked_rows(rows, terms[0].pairs)
    sizes = chunk_sizes(len(rows_B), num_select, num_chunks)
    tile = checked_tile(tile, sizes, terms)
    plan = Plan(rule, sizes, checked_gain(gain), whole("seed", seed), whole("step", step), tile)
    with full_precision(rows_B.device.type):
        sorted_B, order_B = rows_B.sort(stable=True)
        scores_B = own_scores(terms, rule)
        own_B = scores_B[order_B]
        slots_b, conditional_b = Draw(terms, sorted_B, order_B, own_B, plan, Alone()).run()
        alone = order_B[independent_slots(own_B, sorted_B, plan)] if compare_independent else None
    return Selection(order_B[slots_b], scores_B, conditional_b, sizes, plan.gain, alone)
