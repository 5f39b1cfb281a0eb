"""What joint selection sees of true and exchanged pairs, mixed as they are in the pool: conditional scores, and the picks themselves.

Letters in names: n pairs, D embedding width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from superbatch.evaluation.pairs.auc import Scored
from superbatch.evaluation.pairs.exchange import mixed
from superbatch.evaluation.pairs.resampling import Estimate, drawn_anew, estimate
from superbatch.losses import LossName
from superbatch.selection import PairEmbeddings, scores_given, select_jointly

TRIALS = 16  # mixtures that are drawn
FILTER_RATIO, CHUNKS, GAIN = 0.95, 16, 10.0  # of the method easy_reference, as conf/base has it
FEWEST_PICKS = 3  # trials at least; with fewer there is no result


@dataclass(frozen=True)
class Pairs:
    """Pairs as a reference sees them.

    Attributes:
        image_nD, text_nD: embeddings.
        captions: n of them.
        scale, bias, loss: the reference's own; without a bias, 0.
    """

    image_nD: Tensor
    text_nD: Tensor
    captions: Sequence[str]
    scale: float
    bias: float
    loss: LossName

    def __len__(self) -> int:
        return len(self.captions)

    def with_captions(self, caption_of: np.ndarray) -> PairEmbeddings:
        """Return the images with the captions of these pairs."""
        text_nD = self.text_nD[torch.from_numpy(caption_of)]
        return PairEmbeddings(self.image_nD, text_nD, self.scale, self.bias, "reference")


def _mixtures(pairs: Pairs, bad: float, seed: int) -> Iterator[tuple[int, np.ndarray, np.random.Generator]]:
    for trial in range(TRIALS):
        rng = np.random.default_rng([seed, trial])
        yield trial, mixed(pairs.captions, bad, rng), rng


def conditional_trials(pairs: Pairs, bad: float, batch: int, seed: int) -> list[Scored]:
    """Return scores by the reference's loss given a batch that is mixed like everything else, a trial after the other.

    In each trial a share of the pairs exchange captions, `batch` of all (half of them, where they are few) are taken as chosen, and the
    others are scored as `easy_reference` would score them then.

    Args:
        pairs: two or more.
        bad: share of pairs that exchange captions.
        batch: b.
        seed: of the trials.
    """
    found = []
    for _, caption_of, rng in _mixtures(pairs, bad, seed):
        chosen = torch.from_numpy(rng.permutation(len(pairs))[: max(1, min(batch, len(pairs) // 2))])
        reference = pairs.with_captions(caption_of)
        given_n = scores_given(chosen, None, reference, criterion="easy_reference", loss=pairs.loss).cpu().numpy()
        rest = np.flatnonzero(~np.isnan(given_n))
        found.append(Scored(given_n[rest], caption_of[rest] == rest, rest))
    return found


def easy_reference_purity(pairs: Pairs, bad: float, seed: int) -> Estimate | None:
    """Return the share of true pairs among what joint selection by the reference alone picks from such mixtures.

    Args:
        pairs: they are one super-batch in each trial.
        bad, seed: as for `conditional_trials`.

    Returns:
        None where the pairs are so few that a trial would pick fewer than `FEWEST_PICKS`.
    """
    count = round((1 - FILTER_RATIO) * len(pairs))
    if count < FEWEST_PICKS:
        return None
    true_P, picked_P = np.zeros(len(pairs)), np.zeros(len(pairs))
    for trial, caption_of, _ in _mixtures(pairs, bad, seed):
        drawn = select_jointly(
            None, pairs.with_captions(caption_of), count, num_chunks=CHUNKS, gain=GAIN,
            criterion="easy_reference", loss=pairs.loss, seed=seed, step=trial,
        )  # fmt: skip
        picks = drawn.indices.cpu().numpy()
        picked_P[picks] += 1
        true_P[picks] += caption_of[picks] == picks
    count_RP = drawn_anew(len(pairs), seed)
    with np.errstate(invalid="ignore"):
        share_R = count_RP @ true_P / (count_RP @ picked_P)
    return estimate(float(true_P.sum() / picked_P.sum()), share_R, len(pairs))
