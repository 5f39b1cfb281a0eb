"""Paired bootstrap: two runs' outcomes on the same test images, resampled together.

Images are resampled, each with all that was asked of it: its captions as queries, both ways of retrieval, its hit in
every draw of few-shot. What two runs share (hard images, images that both know) cancels. The interval is BCa (Efron
1987), which allows for skewness and for the bias of a ratio.

Letters in names: N images of a test set, Q questions (one; of a headline, the main metrics of a set), K distinct outcomes
of an image, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

RESAMPLES = 2_000
SEED = 0
TAILS = np.array([0.025, 0.975])

Outcomes = tuple[
    np.ndarray, np.ndarray
]  # of a test set: mean hits over the draws, and possible ones, float (N, Q) each


def outcomes(run: Mapping[str, Any]) -> list[Outcomes] | None:
    """Return what a run made of each test image, test set by test set; None where it is not known.

    Args:
        run: `hits` as `measured.Measured` has it, with `images` and `queries`; other values count as not known.
    """
    hits = run.get("hits")
    of_sets = hits if isinstance(hits, list) and hits and isinstance(hits[0], Mapping) else None
    sets = [[run]] if of_sets is None else [_questions(one) for one in of_sets]
    found: list[Outcomes] = []
    for questions in sets:
        answers = [_of_question(one) for one in questions]
        known = [one for one in answers if one is not None]
        if not known or len(known) < len(answers):
            return None
        found.append((np.stack([won for won, _ in known], 1), np.stack([possible for _, possible in known], 1)))
    return found


def _questions(of_set: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Split the main metrics of one set, which share its images."""
    pairs = zip(of_set["hits"], of_set["queries"], strict=True)
    return [{"images": of_set["images"], "hits": hits, "queries": queries} for hits, queries in pairs]


def paired_bootstrap(sets: Sequence[Outcomes], resamples: int = RESAMPLES, seed: int = SEED) -> tuple[float, float]:
    """Return the 95 % interval of a difference, images resampled with replacement.

    The difference is the mean over test sets of the mean over questions of sum(gain) / sum(possible). With fewer than two
    images in a set there is no interval: NaN. Resampling N images is drawing how often each distinct outcome occurs, so
    the work is R x K, whatever N is.

    Args:
        sets: of each test set: one run's hits minus the other's, image by image, and how many hits an image could give,
            positive; float (N, Q) each.
        resamples: R. seed: of the draws.
    """
    if any(len(gain_NQ) < 2 for gain_NQ, _ in sets):
        return np.nan, np.nan
    generator = np.random.default_rng(seed)
    parts = [_resampled(*one, resamples, generator) for one in sets]
    value = float(np.mean([part[0] for part in parts]))
    values_R = np.mean([part[1] for part in parts], axis=0)
    away_K, count_K = (np.concatenate([part[number] for part in parts]) for number in (2, 3))
    if not away_K.any():
        return value, value
    low, high = np.quantile(values_R, _levels(values_R, value, away_K, count_K))
    return float(low), float(high)


def _resampled(
    gain_NQ: np.ndarray, possible_NQ: np.ndarray, resamples: int, generator: np.random.Generator
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Resample one test set.

    Returns:
        The difference; resampled ones (R,); how far leaving out one image of each kind moves it (K,); how many there are (K,).
    """
    kind_KQ, count_K = _kinds(np.round(gain_NQ, 9) + 1j * possible_NQ)
    gain_KQ, possible_KQ = kind_KQ.real, kind_KQ.imag
    won_Q, asked_Q = count_K @ gain_KQ, count_K @ possible_KQ
    drawn_RK = generator.multinomial(len(gain_NQ), count_K / len(gain_NQ), size=resamples)
    values_R = (drawn_RK @ gain_KQ / (drawn_RK @ possible_KQ)).mean(1)
    left_K = ((won_Q - gain_KQ) / (asked_Q - possible_KQ)).mean(1)
    return float((won_Q / asked_Q).mean()), values_R, np.average(left_K, weights=count_K) - left_K, count_K


def _kinds(rows_NQ: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct rows (K, Q) and how often each occurs (K,): column by column, which is faster than by rows."""
    code_N = np.zeros(len(rows_NQ), np.int64)
    for column_N in rows_NQ.T:
        values, number_N = np.unique(column_N, return_inverse=True)
        code_N = np.unique(code_N * len(values) + number_N, return_inverse=True)[1]
    first_K, count_K = np.unique(code_N, return_index=True, return_counts=True)[1:]
    return rows_NQ[first_K], count_K


def _levels(values_R: np.ndarray, value: float, away_K: np.ndarray, count_K: np.ndarray) -> np.ndarray:
    """BCa's two levels: those of the percentile interval, moved by bias and acceleration."""
    # Values on a grid tie with the value itself: half of them count as below.
    near = np.isclose(values_R, value, rtol=0, atol=1e-12)
    below = float(np.mean((values_R < value) & ~near) + np.mean(near) / 2)
    bias = float(ndtri(np.clip(below, 1 / len(values_R), 1 - 1 / len(values_R))))
    acceleration = float(count_K @ away_K**3) / (6 * float(count_K @ away_K**2) ** 1.5)
    moved = bias + ndtri(TAILS)
    levels: np.ndarray = ndtr(bias + moved / (1 - acceleration * moved))
    return levels


def _of_question(one: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean hits of each image over the draws, and how many were possible, float (N,) each; None where it is not known."""
    hits, images, queries = (one.get(name) for name in ("hits", "images", "queries"))
    if not isinstance(hits, (str, list)) or not isinstance(images, (int, float, np.integer)) or not hits:
        return None
    possible = np.ones(int(images))
    if isinstance(queries, (list, int, float, np.integer)) and np.all(np.isfinite(queries)):
        possible = np.broadcast_to(np.asarray(queries, float), (int(images),))
    owner = np.repeat(np.arange(int(images)), possible.astype(int))
    draws = [_unpacked(draw, len(owner)) for draw in ([hits] if isinstance(hits, str) else hits)]
    return np.bincount(owner, weights=np.sum(draws, axis=0), minlength=int(images)) / len(draws), possible


def _unpacked(hits: str, count: int) -> np.ndarray:
    """Return packed hits as 0 and 1, float (count,)."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(hits), np.uint8), count=count).astype(float)
