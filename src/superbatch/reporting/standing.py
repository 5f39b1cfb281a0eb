"""Compare the picks with the reference: would a filter by its score have kept them, and how varied are they?

Legend: n rows, D embedding width.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from superbatch.data.embeddings import EMBEDDINGS, EmbeddingCache, cosines
from superbatch.reporting.spans import spans

Rows = TypeVar("Rows", np.ndarray, pd.DataFrame)
SAMPLE = 200_000  # rows of the pool, and picks, that are looked at; more would not move a share by a tenth of a percent


@dataclass(frozen=True)
class Standing:
    """The picks beside the pool.

    Attributes:
        share: the part of the pool that counts as the reference's favourites; also what chance would give.
        favourites: share of all picks among these. spread, pool_spread: of all picks and of the pool.
        over_time: one row a span of steps with its middle `step`, `favourites` and `spread`.
    """

    share: float
    favourites: float
    spread: float
    pool_spread: float
    over_time: pd.DataFrame


def standing(picks: pd.DataFrame, cache: EmbeddingCache, share: float, bins: int = 40) -> Standing | None:
    """Compare the picks with the `share` of the pool that the reference scores highest.

    Args:
        picks: step, row, chosen; rows beyond the cache (curated ones) are left out. cache: the pool's embeddings.
        share: b/B, so that a filter of the same strength is the measure.
        bins: spans of steps, at most.

    Returns:
        None where nothing of the pool was chosen.
    """
    chosen = picks[picks["chosen"].astype(bool) & (picks["row"] < len(cache))].sort_values("step", kind="stable")
    chosen = _thinned(chosen)
    if chosen.empty:
        return None
    image_nD, text_nD = cache.rows(_thinned(np.arange(len(cache))))
    least = float(np.quantile(cosines(image_nD, text_nD), 1 - share))
    row = chosen["row"].to_numpy()
    own_nD, words_nD = cache.rows(row)
    liked = cosines(own_nD, words_nD) >= least
    span, middles = spans(chosen["step"].to_numpy(), bins)
    groups = [np.flatnonzero(span == number) for number in range(len(middles))]
    parts = [_measure(row[at], own_nD[at], liked[at]) for at in groups]
    frame = pd.DataFrame({"step": middles}).join(pd.DataFrame(parts, columns=["favourites", "spread"]))
    return Standing(share, *_measure(row, own_nD, liked), spread(image_nD), frame)


def spread(image_nD: np.ndarray) -> float:
    """One minus the mean cosine of any two of n images, 0 where all are alike; NaN for fewer than two."""
    if len(image_nD) < 2:
        return float("nan")
    unit = image_nD / np.maximum(np.linalg.norm(image_nD, axis=1, keepdims=True), 1e-12)
    whole = float(np.square(unit.sum(axis=0, dtype=np.float64)).sum())  # all pairs at once: no n x n matrix
    return 1 - (whole - len(unit)) / (len(unit) * (len(unit) - 1))


def cache_of(features: Path | None, reference: str | None) -> EmbeddingCache | None:
    """Open a pool's embeddings if they are there and of the run's own reference (SHA-256 of its weights)."""
    if features is None or not (features / EMBEDDINGS).is_file():
        return None
    cache = EmbeddingCache(features / EMBEDDINGS)
    return cache if reference in (None, cache.metadata.get("reference")) else None


def _measure(row: np.ndarray, image_nD: np.ndarray, liked: np.ndarray) -> tuple[float, float]:
    """Share of favourites, and spread of the distinct rows: one that was picked twice is not less spread."""
    first = np.unique(row, return_index=True)[1]
    return (float(liked.mean()) if len(liked) else float("nan"), spread(image_nD[first]))


def _thinned(rows: Rows) -> Rows:
    return rows[:: max(1, -(-len(rows) // SAMPLE))]
