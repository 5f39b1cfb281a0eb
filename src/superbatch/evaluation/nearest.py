"""The images nearest to texts: ranked a block of images at a time, so that a pool of any size can be searched.

Letters in names: N images, Q texts, k places, D embedding width.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from superbatch.evaluation.ranks import GRID, exact_unit
from superbatch.evaluation.sets import EvaluationSet

SHOWN = 8  # images of each text that a result keeps
ASKED = 64  # captions of a retrieval set used as queries, spread over the set; of a classification set, all classes are used


def nearest(blocks: Iterable[Tensor], text_QD: Tensor, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the images of highest cosine for each text.

    Scores are exact (see `ranks`): neither the blocks' size nor the device changes the outcome, and equal cosines come in
    the order of their images. Memory O(Q (block + k)).

    Args:
        blocks: image embeddings (n, D) in order, any float type, on the texts' device; N in all.
        text_QD: embeddings of the texts.
        top: k; fewer come back where there are fewer images.

    Returns:
        Numbers of the images (Q, k), int64, and their cosines (Q, k), float64; the nearest first.

    Raises:
        UserError: embeddings that are not finite.
    """
    text_QD = exact_unit(text_QD)
    best_Qk = text_QD.new_empty(len(text_QD), 0)
    number_Qk = best_Qk.long()
    start = 0
    for block_nD in blocks:
        scores_Qn = text_QD @ exact_unit(block_nD).to(text_QD.device).T
        numbers_n = torch.arange(start, start + len(block_nD), device=text_QD.device)
        start += len(block_nD)
        # Earlier results come before the block's, so a stable sort keeps equal scores in the order of the images.
        scores = torch.cat([best_Qk, scores_Qn], 1)
        numbers = torch.cat([number_Qk, numbers_n.expand(len(text_QD), -1)], 1)
        order = scores.sort(dim=1, descending=True, stable=True).indices[:, :top]
        best_Qk, number_Qk = scores.gather(1, order), numbers.gather(1, order)
    return number_Qk.cpu().numpy(), (best_Qk / GRID**2).cpu().numpy()


def nearest_of_set(evaluation_set: EvaluationSet, image_ND: Tensor, text_MD: Tensor) -> list[dict[str, Any]]:
    """Tell which images of an evaluation set are nearest to its classes, or to some of its captions.

    Args:
        evaluation_set: the set.
        image_ND: embeddings of its images.
        text_MD: its class weights, or the embeddings of its captions.

    Returns:
        One entry a text: `text`, `rows` of the nearest images (`SHOWN` at most), their `cosines`.
    """
    texts = evaluation_set.classnames or evaluation_set.captions
    asked = range(len(texts)) if evaluation_set.classnames else range(0, len(texts), -(-len(texts) // ASKED))
    rows, cosines = nearest(image_ND.split(4096), text_MD[list(asked)], SHOWN)
    return [
        {"text": texts[number], "rows": own.tolist(), "cosines": near.round(4).tolist()}
        for number, own, near in zip(asked, rows, cosines, strict=True)
    ]
