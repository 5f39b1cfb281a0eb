"""A captioner that sees simweb's scenes: it simulates a captioning model, with a given error rate."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from superbatch.data.manifest import Manifest
from superbatch.errors import UserError
from superbatch.simweb.draws import Draws
from superbatch.simweb.truth import find_truth


def caption(pool: Manifest, rows: np.ndarray, *, error_rate: float = 0.1, seed: int = 0) -> list[str | None]:
    """Caption images of simweb's pool: rightly, or at a set rate as another image would be.

    Args:
        pool: the ingested pool. rows: to caption, int64 (n,).
        error_rate: share of the captions that are another image's.
        seed: of the errors; each row's hangs on seed and row alone.

    Returns:
        A caption a row; None for pictures of noise, which show nothing.

    Raises:
        UserError: a pool whose scenes are not known; a rate that is no share.
    """
    if not 0 <= error_rate <= 1:
        raise UserError("bootstrap.captioner_options.error_rate", f"{error_rate} is not a share", "use 0 to 1")
    true = _true_captions(pool)
    scenes = np.flatnonzero([bool(text) for text in true])
    draws = Draws(seed, "captioner", rows)
    errs = draws.uniform("errs") < error_rate
    others = scenes[draws.integers("other", len(scenes))]
    seen = np.where(errs, others, rows)
    return [true[at] or None if true[row] else None for at, row in zip(seen.tolist(), rows.tolist(), strict=True)]


def _true_captions(pool: Manifest) -> list[str]:
    """Return a caption that fits each image of a pool, in its order; empty for one that shows no scene.

    Raises:
        UserError: the truth about this pool is not known.
    """
    place = find_truth(pool)
    if place is None:
        what = "sees the scenes of simweb alone, and no truth/pool.parquet lies beside this pool's shards"
        raise UserError("bootstrap.captioner", what, "name a captioner of your own")
    truth = pq.read_table(place, columns=["key", "true_caption"])
    places = pc.index_in(pool.column("key"), value_set=truth["key"].combine_chunks())
    return list(pc.fill_null(truth["true_caption"].combine_chunks().take(places), "").to_pylist())
