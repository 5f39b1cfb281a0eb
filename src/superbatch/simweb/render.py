"""Rendering all of simweb: pool, curated set, evaluation sets, and the truth beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from superbatch.artifacts.atomic import atomic_directory
from superbatch.options import SimwebSettings
from superbatch.progress import progress
from superbatch.simweb import words
from superbatch.simweb.clean import render_classification, render_curated, render_retrieval
from superbatch.simweb.damage import DAMAGE_KINDS
from superbatch.simweb.glyphs import load_glyphs
from superbatch.simweb.plan import PoolPlan, plan_pool
from superbatch.simweb.pool import Truth, render_pool_shard


def render(settings: SimwebSettings, out: Path) -> dict[str, Any]:
    """Render the simulated web crawl below `out`, which is replaced as a whole when everything is written.

    Layout: `pool/*.tar`, `curated/*.tar` (img2dataset's), `evaluation/{classification,retrieval}/{validation,test}/`
    (CLIP_benchmark's), `truth/pool.parquet` (for reports only). Bytes depend on the settings alone, `jobs` excepted.

    Returns:
        Counts: pairs in the pool, by kind and distinct captions, in the curated set, and by evaluation set and split.

    Raises:
        UserError: shares that cannot be dealt out.
    """
    plan = plan_pool(settings)
    with atomic_directory(Path(out)) as root:
        truth = _render_pool(settings, plan, root / "pool")
        _write_truth(truth, root / "truth" / "pool.parquet")
        curated = render_curated(settings, root / "curated")
        evaluation = {
            "classification": render_classification(settings, root / "evaluation" / "classification"),
            "retrieval": render_retrieval(settings, root / "evaluation" / "retrieval"),
        }
    counts = Counter(DAMAGE_KINDS[kind] for kind in plan.kind.tolist())
    return {
        "pool": settings.pool_pairs,
        "kinds": {kind: counts[kind] for kind in DAMAGE_KINDS},
        "distinct_captions": len(set(truth.shown_captions)),
        "concepts": words.NUM_CONCEPTS,
        "curated": curated,
        "evaluation": evaluation,
    }


def _render_pool(settings: SimwebSettings, plan: PoolPlan, folder: Path) -> Truth:
    """Render every shard, over processes where more than one job is allowed, and collect the truth in order."""
    load_glyphs(settings.seed)  # read scikit-learn's files here first, so that a failure is reported once
    starts = range(0, settings.pool_pairs, settings.shard_size)
    tasks = (
        (settings, plan.rows(slice(at, at + settings.shard_size)), folder, number) for number, at in enumerate(starts)
    )
    with progress(total=settings.pool_pairs, description="simweb", unit="pair") as bar:
        truths = []
        for truth in _over_shards(tasks, min(settings.jobs, len(starts))):
            truths.append(truth)
            bar.update(len(truth.keys))
    return Truth.joined(truths)


def _over_shards(tasks: Iterable[tuple[Any, ...]], jobs: int) -> Iterator[Truth]:
    from joblib import Parallel, delayed

    if jobs <= 1:
        return (render_pool_shard(*task) for task in tasks)
    work: Iterator[Truth] = Parallel(n_jobs=jobs, return_as="generator")(
        delayed(render_pool_shard)(*task) for task in tasks
    )
    return work


def _write_truth(truth: Truth, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "key": pa.array(truth.keys, pa.string()),
        "kind": pa.array(truth.kinds, pa.string()),
        "concept": pa.array(truth.concepts, pa.int32()),
        "true_caption": pa.array(truth.true_captions, pa.string()),
        "source_key": pa.array(truth.source_keys, pa.string()),
    }
    pq.write_table(pa.table(columns), path)
