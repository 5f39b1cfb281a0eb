"""Paired bootstrap: two runs' outcomes on the same test images, resampled together.

Images are resampled, each with all that was asked of it: its captions as queries, its hit in every draw of few-shot.
What two runs share (hard images, images that both know) cancels. The interval is BCa (Efron 1987), which allows for
skewness and for the bias of a ratio.

Letters in names: N images, K distinct outcomes of an image, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

RESAMPLES = 2_000
SEED = 0
TAILS = np.array([0.025, 0.975])


def outcomes(run: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return what a run made of each test image, from what an evaluation wrote: hits, and how many were possible.

    Args:
        run: `images`; `hits`, packed (`evaluation.intervals.packed`), one text or one a draw of few-shot; `queries`, texts
            an image, a number or a list, where the hits are by text.

    Returns:
        Mean hits over the draws and possible ones, float (N,) each; None where it is not known.
    """
    hits, images, queries = (run.get(name) for name in ("hits", "images", "queries"))
    if not isinstance(hits, (str, list)) or not isinstance(images, (int, float, np.integer)) or not hits:
        return None
    possible = np.ones(int(images))
    if isinstance(queries, (list, int, float, np.integer)) and np.all(np.isfinite(queries)):
        possible = np.broadcast_to(np.asarray(queries, float), (int(images),))
    owner = np.repeat(np.arange(int(images)), possible.astype(int))
    draws = [_unpacked(one, len(owner)) for one in ([hits] if isinstance(hits, str) else hits)]
    won = np.bincount(owner, weights=np.sum(draws, axis=0), minlength=int(images))
    return won / len(draws), possible


def paired_bootstrap(
    gain_N: np.ndarray, possible_N: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED
) -> tuple[float, float]:
    """Return the 95 % interval of sum(gain) / sum(possible), images resampled with replacement.

    With fewer than two images there is none: NaN. Resampling N images is drawing how often each distinct outcome occurs, so the work is R x K, whatever N is.

    Args:
        gain_N: one run's hits minus the other's, image by image.
        possible_N: how many hits an image could give, positive.
        resamples: R. seed: of the draws.
    """
    if len(gain_N) < 2:
        return np.nan, np.nan
    kind_K, count_K = np.unique(
        np.round(gain_N, 9) + 1j * possible_N, return_counts=True
    )  # complex: pairs, sorted fast
    gain_K, possible_K = kind_K.real, kind_K.imag
    value = float(gain_K @ count_K / (possible_K @ count_K))
    if len(gain_K) == 1:
        return value, value
    drawn_RK = np.random.default_rng(seed).multinomial(len(gain_N), count_K / len(gain_N), size=resamples)
    values_R = drawn_RK @ gain_K / (drawn_RK @ possible_K)
    left_K = (gain_K @ count_K - gain_K) / (possible_K @ count_K - possible_K)  # without one image of each kind
    low, high = np.quantile(values_R, _levels(values_R, value, left_K, count_K))
    return float(low), float(high)


def _levels(values_R: np.ndarray, value: float, left_K: np.ndarray, count_K: np.ndarray) -> np.ndarray:
    """BCa's two levels: those of the percentile interval, moved by bias and acceleration."""
    # Values on a grid tie with the value itself: half of them count as below.
    near = np.isclose(values_R, value, rtol=0, atol=1e-12)
    below = float(np.mean((values_R < value) & ~near) + np.mean(near) / 2)
    bias = float(ndtri(np.clip(below, 1 / len(values_R), 1 - 1 / len(values_R))))
    away_K = np.average(left_K, weights=count_K) - left_K
    spread = float(count_K @ away_K**2)
    acceleration = float(count_K @ away_K**3) / (6 * spread**1.5) if spread > 0 else 0.0
    moved = bias + ndtri(TAILS)
    levels: np.ndarray = ndtr(bias + moved / (1 - acceleration * moved))
    return levels


def _unpacked(hits: str, count: int) -> np.ndarray:
    """Return packed hits as 0 and 1, float (count,)."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(hits), np.uint8), count=count).astype(float)
