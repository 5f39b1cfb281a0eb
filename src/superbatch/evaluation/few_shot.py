"""Few-shot classification: ridge regression in closed form over frozen image embeddings.

The classifier is big_vision's (evaluators/fewshot_lsr.py): embeddings are standardised by mean and deviation of the
chosen images, a constant feature of 100 stands for a bias that is hardly regularised, targets are -1 and 1, and the
class of highest prediction wins. So are the draws: the first k of a seeded permutation of each class's images, so that
fewer shots of a seed are among its more.

Letters in names: N images, D embedding width, C classes.
"""

from __future__ import annotations

import numpy as np

from superbatch.evaluation.features import Features

BIAS = 100.0
LEAST_DEVIATION = 1e-5


def draw(labels_N: np.ndarray, shots: int, seed: int) -> np.ndarray:
    """Return row numbers of `shots` images of each class that has any, class after class; fewer where it has fewer."""
    generator = np.random.default_rng(seed)
    order = [generator.permutation(np.flatnonzero(labels_N == label)) for label in range(int(labels_N.max()) + 1)]
    return np.concatenate([rows[:shots] for rows in order])


def ridge_scores(
    train_ND: np.ndarray, labels_N: np.ndarray, test_MD: np.ndarray, num_classes: int, l2: float
) -> np.ndarray:
    """Fit a ridge regression onto the classes and apply it.

    Solves (XᵀX + l2 I) W = XᵀY, or where there are fewer images than features the equal W = Xᵀ (XXᵀ + l2 I)⁻¹ Y.

    Args:
        train_ND, test_MD: embeddings, float64.
        labels_N: class numbers from 0.
        num_classes: C.
        l2: strength of the penalty, positive; the bias has its share of it.

    Returns:
        Predictions (M, C), float64.
    """
    mean, deviation = train_ND.mean(0), train_ND.std(0) + LEAST_DEVIATION
    x, z = (np.pad((rows - mean) / deviation, ((0, 0), (0, 1)), constant_values=BIAS) for rows in (train_ND, test_MD))
    y = 2.0 * (labels_N[:, None] == np.arange(num_classes)) - 1.0
    if len(x) >= x.shape[1]:
        scores: np.ndarray = z @ np.linalg.solve(x.T @ x + l2 * np.eye(x.shape[1]), x.T @ y)
    else:
        scores = z @ (x.T @ np.linalg.solve(x @ x.T + l2 * np.eye(len(x)), y))
    return scores


def few_shot_hits(train: Features, test: Features, num_classes: int, shots: int, seeds: int, l2: float) -> np.ndarray:
    """Say which test images few-shot classifiers are right about; a class without labelled images is never guessed.

    Args:
        train: where the shots are drawn from.
        test: what is measured.
        num_classes: C.
        shots: images a class. seeds: draws, with the seeds 0, 1, ... l2: as of `ridge_scores`.

    Returns:
        bool (seeds, M).
    """
    train_ND, test_MD = train.array(), test.array()
    hits = []
    for seed in range(seeds):
        rows = draw(train.labels_N, shots, seed)
        scores = ridge_scores(train_ND[rows], train.labels_N[rows], test_MD, num_classes, l2)
        scores[:, np.bincount(train.labels_N[rows], minlength=num_classes) == 0] = -np.inf
        hits.append(scores.argmax(1) == test.labels_N)
    return np.stack(hits)
