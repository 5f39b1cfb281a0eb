"""How many of a pool's pairs are bad, and how pure a filter's best part would be: a mixture of two known distributions of scores.

The pool's scores are taken for a mixture of true pairs, which score as curated true pairs do, and of bad ones, which score as the pool's
own images with exchanged captions do. So the estimate is an upper one where the pool's true pairs are harder than the curated ones (other
styles, longer or noisier captions): these count as partly bad. Bad pairs that are nearly right make it a lower one.

Letters in names: N scores, G bins, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from superbatch.evaluation.pairs.resampling import RESAMPLES, Estimate, estimate

BINS = 200


@dataclass(frozen=True)
class Mixture:
    """Distribution functions over common bins: of the pool, of true pairs, of bad ones; float (R, G) each, the first row as measured.

    Attributes:
        edge: upper edge of each bin, (G,). pairs: that the pool's is of.
    """

    pool: np.ndarray
    true: np.ndarray
    bad: np.ndarray
    edge: np.ndarray
    pairs: int

    @property
    def bad_shares(self) -> np.ndarray:
        """The share of bad pairs by least squares between distribution functions, 0 to 1, (R,); NaN where true and bad do not differ.

        The pool's function is (1 - share) true + share bad; the share that fits best is <pool - true, bad - true> / |bad - true|^2.
        """
        apart = self.bad - self.true
        with np.errstate(invalid="ignore"):
            share_R: np.ndarray = ((self.pool - self.true) * apart).sum(1) / (apart**2).sum(1)
        return np.clip(share_R, 0, 1)

    def cut(self, kept: float) -> int:
        """Return the bin after which the pool's best share begins: the first that leaves no more than `kept` above it."""
        return int(np.argmax(1 - self.pool[0] <= kept + 1e-12))

    def purities(self, kept: float) -> np.ndarray:
        """Return the share of true pairs in the pool's best part by score, (R,); NaN where nothing is above the cut."""
        cut, bad_R = self.cut(kept), self.bad_shares
        true_R, wrong_R = (1 - bad_R) * (1 - self.true[:, cut]), bad_R * (1 - self.bad[:, cut])
        with np.errstate(invalid="ignore"):
            found: np.ndarray = true_R / (true_R + wrong_R)
        return found


def mixture(pool_N: np.ndarray, true_N: np.ndarray, bad_N: np.ndarray, seed: int) -> Mixture:
    """Put scores into bins, with resamples of each distribution.

    Args:
        pool_N: scores of the pool's pairs. true_N: of true pairs. bad_N: of exchanged ones.
        seed: of the resamples.
    """
    edge = np.unique(np.quantile(np.concatenate([pool_N, true_N, bad_N]), np.linspace(0, 1, BINS + 1)[1:]))
    rng = np.random.default_rng(seed)
    pool, true, bad = (_resampled(np.searchsorted(edge, scores), len(edge), rng) for scores in (pool_N, true_N, bad_N))
    return Mixture(pool, true, bad, edge, len(pool_N))


def _resampled(bin_N: np.ndarray, bins: int, rng: np.random.Generator) -> np.ndarray:
    """Distribution function over bins, and those of resamples, (1 + R, G)."""
    count_G = np.bincount(bin_N, minlength=bins)
    drawn_RG = rng.multinomial(len(bin_N), count_G / len(bin_N), size=RESAMPLES)
    found: np.ndarray = np.concatenate([count_G[None], drawn_RG]).cumsum(1) / len(bin_N)
    return found


def bad_share(found: Mixture) -> Estimate:
    """Return the estimated share of the pool's pairs that are bad."""
    share_R = found.bad_shares
    return estimate(share_R[0], share_R[1:], found.pairs)


def purity_of_best(found: Mixture, kept: float) -> Estimate:
    """Return the estimated share of true pairs among the pool's best part by score (`pool.keep_share`)."""
    share_R = found.purities(kept)
    return estimate(share_R[0], share_R[1:], found.pairs)
