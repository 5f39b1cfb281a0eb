"""How a run treated every row of a pool: how often it was seen and chosen, its scores, a verdict.

How often a row was seen follows from the order of the super-batches, and the picks have every chosen row: both counts
are exact. Scores of rows that were passed over are recorded for a sample of them alone, so mean scores are estimates.

Legend: R rows of the pool, B super-batch size, b batch size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from superbatch.data.order import Order
from superbatch.data.row_set import RowSet
from superbatch.errors import UserError
from superbatch.options import AuditSettings

LATE = "_late"  # at the end of a column's name: of the run's late part alone
COUNTED = ("seen", "chosen", "recorded", "mean_score")
LEFT_OUT = "left_out_by"  # a further column, where a decision is named
COLUMNS = ("row", "key", "shard", *COUNTED, *(name + LATE for name in COUNTED), "reference_score", "verdict")


@dataclass(frozen=True)
class Draw:
    """What a run drew its batches from, as far as an audit needs it.

    Attributes:
        order: of the super-batches. steps: that were taken. batch_size: b.
        num_rows: R.
        rows: the row at each position of the order, where that is not the position itself.
            Without them such a draw knows its numbers, but no super-batch.
        learnability: whether scores are learner loss minus reference loss, all along.
        new_kind: the step from which on scores are of another kind, where they are.
    """

    order: Order
    steps: int
    batch_size: int
    num_rows: int
    rows: np.ndarray | RowSet | None = None
    learnability: bool = True
    new_kind: int | None = None

    @property
    def base_rate(self) -> float:
        """Share of the rows looked at that is chosen, b/B: how often a row would be if the draw were uniform; where B changes, on average."""
        return self.steps * self.batch_size / self.order.looked_at(range(self.steps))

    def super_batch(self, step: int) -> np.ndarray:
        """Return the rows of a step's super-batch, int64 (B,)."""
        assert self.rows is not None or self.order.num_rows == self.num_rows, "which rows were in use is not known"
        positions = self.order.rows(step)
        return positions if self.rows is None else self.rows[positions]

    def seen(self, first: int, last: int) -> np.ndarray:
        """Count how often each row was drawn in the steps from `first` up to but not including `last`, int64 (R,)."""
        counts = np.zeros(self.num_rows, np.int64)
        for step in range(first, last):
            counts[self.super_batch(step)] += 1  # the rows of one super-batch are distinct
        return counts


def audit_rows(picks: pd.DataFrame, draw: Draw, reference_score_R: np.ndarray, settings: AuditSettings) -> pd.DataFrame:
    """Judge every row of a pool.

    Args:
        picks: step, row, score, chosen: all chosen rows and a sample of those passed over.
        draw: what the run drew from.
        reference_score_R: cosine of image and caption under the reference; it may be NaN.
        settings: thresholds.

    Returns:
        One row a row: `row`; the exact counts `seen`, `chosen`; `recorded`, appearances with a score; the estimate
        `mean_score`, NaN without a record; the same of the run's late part alone with `_late` at the end;
        `reference_score`; `verdict`.

    Raises:
        UserError: picks of another order or pool.
    """
    check_picks(picks, draw)
    late_from = draw.steps - round(settings.late_share * draw.steps)
    whole = tally(picks, draw, 0)
    late = tally(picks[picks["step"] >= late_from], draw, late_from)
    frame = pd.concat([whole, late.add_suffix(LATE)], axis=1)
    frame["reference_score"] = np.asarray(reference_score_R, np.float64)
    frame["verdict"] = judge(frame, draw, settings)
    return frame.rename_axis("row").reset_index()


def check_picks(picks: pd.DataFrame, draw: Draw) -> None:
    """Refuse picks that can't come from these super-batches, by the first and the last step.

    Raises:
        UserError: a picked row that the step's super-batch does not hold.
    """
    for step in (0, draw.steps - 1):
        rows = picks.loc[picks["step"] == step, "row"].to_numpy()
        if not np.isin(rows, draw.super_batch(step)).all():
            what = f"rows picked at step {step:,} are not in the super-batch that the run's settings give"
            raise UserError("picks.parquet", what, "train the run again with this version and this pool")


def tally(picks: pd.DataFrame, draw: Draw, first: int) -> pd.DataFrame:
    """Count appearances and average scores by row, over the steps from `first` on.

    The mean score is that of the chosen and of the recorded passed-over appearances, each weighted by how many it
    stands for: the chosen stand for themselves, those passed over for all `seen - chosen`. Where no passed-over one
    was recorded the chosen speak alone, and the mean comes out too high. A step that took all that it looked at has no scores.

    Returns:
        Frame of R rows: seen, chosen, recorded (int64), mean_score (float64).
    """
    seen, taken = draw.seen(first, draw.steps), picks["chosen"].to_numpy(bool)
    chosen, has_score = np.bincount(picks["row"].to_numpy()[taken], minlength=draw.num_rows), picks["score"].notna()
    known, chosen_score = _mean_by_row(picks[taken & has_score], draw.num_rows)
    passed, passed_score = _mean_by_row(picks[~taken & has_score], draw.num_rows)
    weights = np.stack([known, np.where(passed > 0, seen - chosen, 0)]).astype(np.float64)
    scores = np.nan_to_num(np.stack([chosen_score, passed_score]))
    with np.errstate(invalid="ignore"):
        mean = (weights * scores).sum(axis=0) / weights.sum(axis=0)
    return pd.DataFrame({"seen": seen, "chosen": chosen, "recorded": known + passed, "mean_score": mean})


def _mean_by_row(picks: pd.DataFrame, num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Count entries and average their scores by row: int64 (R,), float64 (R,) with NaN for none."""
    rows = picks["row"].to_numpy()
    counts = np.bincount(rows, minlength=num_rows)
    sums = np.bincount(rows, weights=picks["score"].to_numpy(np.float64), minlength=num_rows)
    with np.errstate(invalid="ignore"):
        return counts, sums / counts


def judge(frame: pd.DataFrame, draw: Draw, settings: AuditSettings) -> np.ndarray:
    """Return each row's verdict; the first that holds, in the order learned, worth_it, unlearnable, never_worth.

    Args:
        frame: `tally` of the whole run, of its late part (`_late`), and reference_score.
    """
    seen, chosen = frame["seen"].to_numpy(), frame["chosen"].to_numpy()
    often = chance_at_most(seen - chosen, seen, 1 - draw.base_rate) <= settings.worth_it_chance
    rarely = chance_at_most(chosen, seen, draw.base_rate) <= settings.rarely_chance
    low = low_reference(frame["reference_score"].to_numpy(), settings.low_reference)
    learned = was_learned(frame, draw, settings) & ~low
    cases = {"unseen": seen == 0, "learned": learned, "worth_it": often}
    cases |= {"unlearnable": rarely & low, "never_worth": rarely}
    return np.select(list(cases.values()), list(cases), "undecided").astype(object)


def was_learned(frame: pd.DataFrame, draw: Draw, settings: AuditSettings) -> np.ndarray:
    """Tell which rows were chosen above the base rate early and below it late, at a late score that is low, bool (R,).

    Other scores than learnability do not tell whether the learner has caught up with the reference: none, then.
    """
    seen, chosen = frame["seen_late"], frame["chosen_late"]
    early = (frame["chosen"] - chosen) > draw.base_rate * (frame["seen"] - seen)
    late = (seen > 0) & (chosen < draw.base_rate * seen)
    caught_up = frame["mean_score_late"] <= settings.learned_score  # NaN, nothing recorded: no
    return (early & late & caught_up).to_numpy() & draw.learnability


def low_reference(score_R: np.ndarray, share: float) -> np.ndarray:
    """Tell which rows belong to the lowest share by reference score, bool (R,); rows without a score do not."""
    known = np.isfinite(score_R)
    return known & (score_R <= np.quantile(score_R[known], share)) if known.any() else known


def chance_at_most(count: np.ndarray, trials: np.ndarray, rate: float) -> np.ndarray:
    """Return the chance of at most `count` successes in `trials` draws, each of probability `rate`.

    Args:
        count, trials: int64 of one shape, 0 <= count <= trials. rate: in [0, 1].

    Returns:
        float64 of that shape; 1 where count equals trials.
    """
    result = np.ones(len(trials))
    for n in np.unique(trials):
        mask = trials == n
        result[mask] = _binomial_cumulative(int(n), rate)[count[mask]]
    return result


def _binomial_cumulative(n: int, rate: float) -> np.ndarray:
    k = np.arange(n + 1)
    if rate in (0, 1):  # no chance, and no logarithm
        return np.where(k >= n * rate, 1.0, 0.0)
    factorial = np.array([math.lgamma(i + 1) for i in range(n + 1)])
    logs = factorial[n] - factorial - factorial[::-1] + k * math.log(rate) + (n - k) * math.log1p(-rate)
    return np.minimum(np.cumsum(np.exp(logs)), 1.0)
