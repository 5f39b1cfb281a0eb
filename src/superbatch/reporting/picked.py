"""What is known of a pool's rows, and which runs drew from it: for the report, and for the page on all runs (docs/understanding.md)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from superbatch.curation.clusters import text_clusters
from superbatch.data.embeddings import EmbeddingCache
from superbatch.reporting.audit_truth import GOOD_KINDS
from superbatch.reporting.choices import Known
from superbatch.reporting.purity import concepts_of_rows, has_concepts, kinds_of_rows
from superbatch.reporting.runs import Run
from superbatch.reporting.understanding import Choices, choices_of

MOST_RUNS = 24  # of a report: a grid may have hundreds
CLUSTERS = 64  # of captions, where the true concepts are not known; fewer in small pools
ROWS_A_CLUSTER = 16  # at least
MOST_NUMBERS = 50_000_000  # of the captions' embeddings: clusters of more take a report too long


def what_is_known(cache: EmbeddingCache, manifest: Path, truth: Path | None, clusters: int | None) -> Known:
    """Gather the reference's scores, clusters of captions and, of a simulated pool, the truth.

    Args:
        cache: the pool's embeddings. manifest: of the pool. truth: about it, if anybody knows it.
        clusters: how many; None: as many as suit the pool, and none where true concepts are known or they would take long.
    """
    true = concepts_of_rows(truth, manifest) if truth is not None and has_concepts(truth) else None
    good = None if truth is None else np.isin(kinds_of_rows(truth, manifest), GOOD_KINDS)
    if clusters is None and true is None and len(cache) * cache.dim_text <= MOST_NUMBERS:
        clusters = min(CLUSTERS, max(1, len(cache) // ROWS_A_CLUSTER))
    return Known(cache.pair_scores(), None if clusters is None else text_clusters(cache, clusters), good, true)


def foreign(run: Run, pool: str | None, reference: str | None) -> str:
    """Say what of a run is another one, "pool" or "reference"; empty where both are those that are asked about.

    Args:
        pool: fingerprint of its manifest. reference: SHA-256 of its weights. What is not recorded is taken to be the same.
    """
    if pool is not None and run.pool not in (None, pool):
        return "pool"
    return "" if run.settings.get("reference") in (None, reference) else "reference"


def picked(
    runs: list[Run], main: Run, cache: EmbeddingCache, manifest: Path, truth: Path | None, pool: str | None
) -> list[Choices]:
    """Measure what the runs on a pool picked: the main one first, then those of a chain, then those as long as the main one.

    Args:
        runs: all that were found; MOST_RUNS of them are looked at. main: the report's.
        cache, manifest, truth: as for `what_is_known`. pool: the manifest's fingerprint.

    Returns:
        Nothing where no run of this pool left picks, or the embeddings are of another one.
    """
    if pool is not None and cache.metadata.get("manifest") not in (None, pool):
        return []
    ordered = sorted(runs, key=lambda run: (run is not main, run.name != run.method, run.steps != main.steps, run.name))
    looked_at = list(islice(_of_pool(ordered, pool, cache), MOST_RUNS))
    if not looked_at:
        return []
    known = what_is_known(cache, manifest, truth, None)
    return [choices_of(run, known) for run in looked_at]


def _of_pool(runs: list[Run], pool: str | None, cache: EmbeddingCache) -> Iterator[Run]:
    """Pick the runs that chose rows of this pool, one after the other: their picks are read on the way."""
    for run in runs:
        if (
            run.role != "reference"
            and not foreign(run, pool, cache.metadata.get("reference"))
            and _chose(run, len(cache))
        ):
            yield run


def _chose(run: Run, rows: int) -> bool:
    return run.picks is not None and bool((run.picks["chosen"].astype(bool) & (run.picks["row"] < rows)).any())
