"""Linear probe: logistic regression over frozen image embeddings, its L2 strength chosen on images it was not fitted to.

As CLIP has it (appendix A.3): scikit-learn's L-BFGS; strengths from 1e-6 to 1e6, eight a decade, of which a search
looks at seven over the whole range first and then at both sides of the best, in ever smaller steps.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from superbatch.evaluation.features import Features

STRENGTHS = np.logspace(-6, 6, 97)  # eight a decade
COARSE = 16  # the step of the first, coarse search


@dataclass(frozen=True)
class Probe:
    """A fitted probe on the test images.

    Attributes:
        hits: bool (N,), which test images it is right about.
        l2: the chosen strength. accuracy: of its choice, on the images that chose.
        converged: whether the last fit ended before its iterations did.
    """

    hits: np.ndarray
    l2: float
    accuracy: float
    converged: bool


def linear_probe(fit: Features, choose: Features, test: Features, iterations: int = 1_000) -> Probe:
    """Choose the strength on `choose`, fit again on both, and measure on the test images.

    Args:
        fit: labelled images. choose: others, which the strength is chosen on.
        test: what is measured.
        iterations: of a fit, at most.
    """
    fit_ND, choose_ND = fit.array(), choose.array()

    @cache
    def accuracy(number: int) -> float:
        model, _ = _fitted(fit_ND, fit.labels_N, STRENGTHS[number], iterations)
        return float(np.mean(model.predict(choose_ND) == choose.labels_N))

    best = peak(accuracy)
    both, labels = np.concatenate([fit_ND, choose_ND]), np.concatenate([fit.labels_N, choose.labels_N])
    model, converged = _fitted(both, labels, STRENGTHS[best], iterations)
    return Probe(model.predict(test.array()) == test.labels_N, float(STRENGTHS[best]), accuracy(best), converged)


def peak(value: Any) -> int:
    """Search the number of the strength with the highest value; of equal ones the strongest, which fits the least noise."""
    best = max(range(0, len(STRENGTHS), COARSE), key=lambda number: (value(number), number))
    step = COARSE // 2
    while step:
        around = [number for number in (best - step, best, best + step) if 0 <= number < len(STRENGTHS)]
        best = max(around, key=lambda number: (value(number), number))
        step //= 2
    return best


def divide(labels_N: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """Say which images choose: a share of each class (one at least, of a class of two images or more); bool (N,)."""
    generator = np.random.default_rng(seed)
    chosen = np.zeros(len(labels_N), dtype=bool)
    for label in np.unique(labels_N):
        rows = generator.permutation(np.flatnonzero(labels_N == label))
        chosen[rows[: min(len(rows) - 1, max(1, round(share * len(rows))))]] = True
    return chosen


def thinned(labels_N: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """Draw at most so many images, from all classes alike as far as they go; row numbers in ascending order."""
    if len(labels_N) <= most:
        return np.arange(len(labels_N))
    shuffled = np.random.default_rng(seed).permutation(len(labels_N))
    grouped = shuffled[np.argsort(labels_N[shuffled], kind="stable")]
    labels = labels_N[grouped]
    turn = np.arange(len(labels)) - np.searchsorted(labels, labels)  # its number within its class
    return np.sort(grouped[np.argsort(turn, kind="stable")[:most]])


def _fitted(image_ND: np.ndarray, labels_N: np.ndarray, l2: float, iterations: int) -> tuple[Any, bool]:
    """Fit one classifier; and whether it converged."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    model = LogisticRegression(C=1 / l2, max_iter=iterations)
    # One thread: the products are small, and two threads take five times as long by waiting for each other.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter(
            "ignore"
        )  # weak regularization needs more iterations; the result says whether the chosen one converged
        model.fit(image_ND, labels_N)
    return model, bool(np.max(model.n_iter_) < iterations)
