"""What uniform sampling would have trained on, in closed form: concepts, concepts of a batch, distinct rows.

Legend: R rows of the pool, C concepts, b batch size, n samples.
"""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy
from scipy.stats import binom

from superbatch.evaluation.pairs.recall import log_choose

WINDOW = 12  # standard deviations around the mean; the rest is negligible in float64


def expected_distinct(rows: int, batch_size: int, steps: int) -> float:
    """Return how many different rows the first `steps` batches of b hold on average; NaN where the rows fill no batch.

    As `data.order.Order` draws: an epoch visits no row twice, leaves out what fills no batch, and knows nothing of the one before.
    """
    epoch = rows // batch_size
    if not epoch:
        return float("nan")
    full, rest = divmod(steps, epoch)
    return rows * (1 - (1 - epoch * batch_size / rows) ** full * (1 - rest * batch_size / rows))


def expected_in_batch(sizes_C: np.ndarray, batch_size: int) -> float:
    """Return how many different concepts a batch of b distinct rows holds on average (hypergeometric).

    Args:
        sizes_C: rows of each concept; they sum to R.
    """
    rows, others_C = int(sizes_C.sum()), sizes_C.sum() - sizes_C
    drawn = np.array(batch_size)
    none_C = np.exp(log_choose(others_C, drawn) - log_choose(np.array(rows), drawn))
    return float((1 - none_C).sum())


def expected_effective(sizes_C: np.ndarray, samples: int) -> float:
    """Return the effective number of concepts of n samples: exp of the mean entropy of their counts.

    A few samples look less even than the pool that they come from, so n matters. Counts are taken as binomial, as if rows were put back.

    Args:
        sizes_C: rows of each concept. samples: n, at least 1.
    """
    share_C = sizes_C[sizes_C > 0] / sizes_C.sum()
    surprise = sum(_mean_n_log_n(samples, float(share)) for share in share_C)
    return float(np.exp(np.log(samples) - surprise / samples))


def _mean_n_log_n(samples: int, share: float) -> float:
    """E[c log c] of a binomial count c."""
    mean, reach = samples * share, WINDOW * (1 + np.sqrt(samples * share * (1 - share)))
    counts = np.arange(max(0, int(mean - reach)), min(samples, int(mean + reach) + 1) + 1)
    return float((binom.pmf(counts, samples, share) * xlogy(counts, counts)).sum())
