"""Compare a run's joint picks with those of independent selection by the same scores and noise.

Independent selection takes the b largest of gain * score + noise, and the noise is a function of seed, step and row. Where scores need no learner
(easy_reference) both selections are made again from the cached embeddings. Else the record has to do. It has the score of every row chosen, and of
a random sample of those passed over; those that it lacks are drawn from the passed-over ones of neighbouring steps.

Legend: B super-batch size, b batch size, T steps, m rows passed over that a step recorded, n rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from superbatch.data.embeddings import EmbeddingCache
from superbatch.losses import LossName
from superbatch.options import SelectionSettings
from superbatch.reporting.audit import Draw
from superbatch.reporting.choices import PARTS, Known, described, percentiles
from superbatch.reporting.spans import spans
from superbatch.selection import PairEmbeddings, select_jointly
from superbatch.selection.noise import gumbel

JOINT, ALONE = "joint", "alone"
BLOCK = 20  # steps whose passed-over rows stand in for each other's: few enough for the learner to be the same
# Of the chosen keys, where a step's keys are counted from. Against exact overlaps of 89, 94 and 36 % the lower quartile was off by 0.1, 0.3 and
# 0.6 points, the median by 0.0, 0.9 and 0.2.
LOCATION = 0.25
SAMPLE = 2_000  # rows of which all pairs are compared


@dataclass(frozen=True)
class Beside:
    """Rows that one of the two selections takes.

    Attributes:
        rows: `step`, `row`, and whether the run chose it, `joint`, and whether it would have been chosen alone, `alone`: b a step each.
        exact: whether nothing of it is estimated.
    """

    rows: pd.DataFrame
    exact: bool


def from_record(picks: pd.DataFrame, super_batch_size: int, gain: float, seed: int) -> Beside:
    """Estimate what independent selection would have taken, from a run's own record.

    The b largest keys are taken of the step's own chosen rows and of B - b passed-over ones, drawn from those that a block of steps recorded.
    Super-batches differ in how good they are: so keys are counted from the lower quartile of the step's chosen ones. Where a step
    recorded all that it passed over, nothing is estimated.

    Args:
        picks: step, row, score, chosen; equally many chosen and passed over at each step. Those passed over are a random sample.
        super_batch_size: B. gain, seed: the run's.
    """
    step_T, row_TN, score_TN, chosen = _by_step(picks)
    key_TN = np.stack([gain * score_TN[i] + noise(seed, int(step), row_TN[i]) for i, step in enumerate(step_T)])
    key_TN -= np.quantile(key_TN[:, :chosen], LOCATION, axis=1, keepdims=True)
    left = super_batch_size - chosen
    exact = row_TN.shape[1] - chosen == left
    block, draws = 1 if exact else BLOCK, np.random.default_rng(seed)
    found = []
    for i, step in enumerate(step_T):
        near = slice(i // block * block, i // block * block + block)
        other_key, other_row = key_TN[near, chosen:].ravel(), row_TN[near, chosen:].ravel()
        drawn = draws.choice(len(other_key), left, replace=len(other_key) < left)
        best = np.argsort(-np.concatenate([key_TN[i, :chosen], other_key[drawn]]), kind="stable")[:chosen]
        others = other_row[drawn[best[best >= chosen] - chosen]]
        found.append(_one_step(int(step), row_TN[i, :chosen], np.isin(np.arange(chosen), best), others))
    return Beside(pd.concat(found, ignore_index=True), exact)


def _by_step(picks: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Give steps (T,), rows and scores (T, b + m) with the chosen first, and b."""
    picks = picks.sort_values(["step", "chosen"], ascending=[True, False], kind="stable")
    step_T = picks["step"].unique()
    assert len(picks) % len(step_T) == 0, "steps with other numbers of rows"
    row_TN, score_TN = (picks[name].to_numpy().reshape(len(step_T), -1) for name in ("row", "score"))
    return step_T, row_TN, score_TN, int(picks["chosen"].sum()) // len(step_T)


def _one_step(step: int, chosen_b: np.ndarray, too_b: np.ndarray, others: np.ndarray) -> pd.DataFrame:
    """Make the rows of one step: the chosen, which of them would have been taken alone too, and the others that would have been."""
    joint = np.arange(len(chosen_b) + len(others)) < len(chosen_b)
    row = np.concatenate([chosen_b, others])
    return pd.DataFrame(
        {"step": step, "row": row, JOINT: joint, ALONE: np.concatenate([too_b, ~joint[len(chosen_b) :]])}
    )


def noise(seed: int, step: int, rows_n: np.ndarray) -> np.ndarray:
    """Return the Gumbel noise by which a step's first chunk, and all of an independent selection, was drawn; float64 (n,)."""
    drawn: np.ndarray = gumbel(seed, step, range(1), torch.from_numpy(np.array(rows_n, np.int64)))[0].numpy()
    return drawn


def replayed(
    draw: Draw, cache: EmbeddingCache, rule: SelectionSettings, loss: LossName, seed: int, steps: Iterable[int]
) -> Beside:
    """Make a run's selection again at some steps, jointly and alone, by the reference's cached embeddings.

    Args:
        draw: what the run drew from. cache: of its reference; the rule's criterion must need no other model.
        rule, loss, seed: the run's.
    """
    return Beside(pd.concat([_again(draw, cache, rule, loss, seed, step) for step in steps], ignore_index=True), True)


def _again(
    draw: Draw, cache: EmbeddingCache, rule: SelectionSettings, loss: LossName, seed: int, step: int
) -> pd.DataFrame:
    rows = draw.super_batch(step)
    image, text = (torch.from_numpy(side) for side in cache.rows(rows))
    found = select_jointly(
        None, PairEmbeddings(image, text, cache.scale, cache.bias, "reference"), draw.batch_size, num_chunks=rule.num_chunks,
        gain=rule.gain, criterion=rule.criterion, loss=loss, seed=seed, step=step, rows=torch.from_numpy(rows), compare_independent=True,
    )  # fmt: skip
    assert found.independent is not None
    joint, alone = rows[found.indices.numpy()], rows[found.independent.numpy()]
    return _one_step(step, joint, np.isin(joint, alone), np.setdiff1d(alone, joint))


def agreement(beside: Beside, picks: pd.DataFrame) -> float:
    """Return the share of the rows chosen again that the run chose too: 1, unless another processor rounds otherwise."""
    again = beside.rows.loc[beside.rows[JOINT], ["step", "row"]]
    return len(again.merge(picks.loc[picks["chosen"], ["step", "row"]])) / len(again)


def contrast(beside: Beside, known: Known, parts: int = PARTS) -> pd.DataFrame:
    """Compare the two selections, by parts of a run.

    Args:
        parts: as for `choices.along`.

    Returns:
        Two rows a part, `who` is joint and alone: `steps`, the last one looked at, counted from 1; `overlap`, the share of the joint picks that
        would have been taken alone too; `purity`, `percentile`, `concepts`, `in_batch` and `true_*` as in `along`.
    """
    rows = beside.rows[beside.rows["row"] < len(known)]
    part, middles = spans(rows["step"].to_numpy(), parts)
    place_R = percentiles(known.reference_R)
    found = []
    for own in (rows[part == number] for number in range(len(middles))):
        if len(own):
            same = {"steps": int(own["step"].max()) + 1, "overlap": float(own.loc[own[JOINT], ALONE].mean())}
            found += [{"who": who, **same, **described(own[own[who]], known, place_R)} for who in (JOINT, ALONE)]
    return pd.DataFrame(found)


def weight_of_others(cache: EmbeddingCache, batch_sizes: Iterable[int]) -> pd.DataFrame:
    """Tell how much there is for a joint draw to see: what a pair's own match and the others of a batch do to its loss.

    By the reference's sigmoid loss, over a sample of its pool, in batches drawn at random. A joint draw differs from an independent one by the
    others' part alone; so where that spreads little beside the own part, both pick the same.

    Returns:
        One row a batch size: `batch_size`; `own`, standard deviation of a pair's loss by its own match; `others`, the same of what the b - 1
        others add, in both directions.
    """
    rows = np.random.default_rng(0).permutation(len(cache))[:SAMPLE]
    image_nD, text_nD = cache.rows(np.sort(rows))
    logit_nn = cache.scale * image_nD @ text_nD.T + cache.bias
    own_n = np.logaddexp(0, -np.diag(logit_nn))
    added_nn = np.logaddexp(0, logit_nn)
    added_nn += added_nn.T
    others_nn = added_nn[~np.eye(len(rows), dtype=bool)].reshape(len(rows), -1).astype(np.float64)
    between, within = (
        others_nn.mean(axis=1).var(),
        others_nn.var(axis=1).mean(),
    )  # of rows, and of the others of one row
    counts = np.array([size - 1 for size in batch_sizes])
    spread_by = np.sqrt(counts**2 * between + counts * within)
    return pd.DataFrame({"batch_size": counts + 1, "own": float(own_n.std()), "others": spread_by})
