"""How often a true pair scores above an exchanged one (AUC), with its interval over pairs.

Letters in names: N scores, P pairs, R resamples, G distinct scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from superbatch.evaluation.pairs.resampling import Estimate, drawn_anew, estimate


@dataclass(frozen=True)
class Scored:
    """Scores of true and exchanged pairs that are compared with each other.

    Attributes:
        score: float (N,).
        true: whether the caption is the image's own, bool (N,).
        pair: number of the pair that the image is of, int (N,): what is drawn anew.
    """

    score: np.ndarray
    true: np.ndarray
    pair: np.ndarray

    def of(self, kept_P: np.ndarray) -> Scored:
        """Return the scores of some pairs' images, bool (P,)."""
        kept = kept_P[self.pair]
        return Scored(self.score[kept], self.true[kept], self.pair[kept])


def auc(scored: Scored, count_RP: np.ndarray) -> np.ndarray:
    """Return the share of (true, exchanged) in which the true pair scores higher, ties half, for each resample.

    Args:
        scored: what is compared.
        count_RP: how often each pair counts.

    Returns:
        float64 (R,); NaN where a resample has no true or no exchanged pair.
    """
    if not len(scored.score):
        return np.full(len(count_RP), np.nan)
    order = np.argsort(scored.score, kind="stable")
    ordered, weight_RN = scored.score[order], count_RP[:, scored.pair[order]].astype(float)
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    true_RG = np.add.reduceat(weight_RN * scored.true[order], starts, axis=1)
    other_RG = np.add.reduceat(weight_RN * ~scored.true[order], starts, axis=1)
    below_RG = other_RG.cumsum(1) - other_RG / 2
    with np.errstate(invalid="ignore"):
        found: np.ndarray = (true_RG * below_RG).sum(1) / (true_RG.sum(1) * other_RG.sum(1))
    return found


def auc_estimate(trials: Sequence[Scored], pairs: int, seed: int) -> Estimate:
    """Return the AUC over several trials, each compared in itself, with its interval over pairs.

    Args:
        trials: of one set of pairs, which are drawn anew for all trials together.
        pairs: P.
        seed: of the resamples.
    """
    count_RP = np.concatenate([np.ones((1, pairs), np.int64), drawn_anew(pairs, seed)])
    found_TR = np.stack([auc(trial, count_RP) for trial in trials])
    known_TR = ~np.isnan(found_TR)
    with np.errstate(invalid="ignore"):
        values = np.where(known_TR, found_TR, 0).sum(0) / known_TR.sum(0)
    there = len(np.unique(np.concatenate([trial.pair for trial in trials])))
    return estimate(values[0], values[1:], there)
