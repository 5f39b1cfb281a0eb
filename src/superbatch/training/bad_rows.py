"""The rows of a bad step, named and kept for inspection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from superbatch.artifacts.atomic import atomic_path
from superbatch.data.fields import Batch
from superbatch.models import evaluating
from superbatch.training.job import Job

SHOWN = 3  # rows that a message names; the file has them all
SCHEMA = pa.schema(
    [
        ("step", pa.int64()),
        ("row", pa.int64()),
        ("shard", pa.string()),
        ("key", pa.string()),
        ("loss", pa.float64()),
        ("finite", pa.bool_()),
        ("reason", pa.string()),
    ]
)


def save_bad_rows(job: Job, model: str, batch: Batch, step: int, reason: str, directory: Path) -> tuple[Path, str]:
    """Write the rows of a bad step, the worst first, as `bad-<step>.parquet`.

    Args:
        job: for its task and the names of rows.
        model: by whose loss, its weights still those of before the step.
        batch: the chosen samples.
        step, reason: when, and what was bad.
        directory: of the run's records.

    Returns:
        The file, and the worst rows in words.
    """
    losses, finite = row_losses(job, model, batch)
    worst = np.lexsort((-np.nan_to_num(losses, nan=np.inf), finite))
    rows = batch.rows[worst]
    shards, keys = job.names(rows) if job.names else (None, None)
    columns: dict[str, Any] = {
        "step": [step] * len(rows),
        "row": rows,
        "shard": shards or [None] * len(rows),
        "key": keys or [None] * len(rows),
        "loss": losses[worst],
        "finite": finite[worst],
        "reason": [reason] * len(rows),
    }
    path = directory / f"bad-{step:09d}.parquet"
    with atomic_path(path) as temporary:
        pq.write_table(pa.table(columns, schema=SCHEMA), temporary, compression="zstd")
    named = [
        f"row {row}" if shards is None else f"{shard} {key}"
        for row, shard, key in zip(rows, shards or rows, keys or rows, strict=True)
    ]
    return path, ", ".join(named[:SHOWN])


@torch.no_grad()
def row_losses(job: Job, model: str, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Return each sample's own summand of the batch's loss, float64 (b,), and whether its outputs are finite, bool (b,)."""
    with evaluating(job.task.models[model].module):
        losses, finite = job.task.row_losses(model, batch)
    return losses.double().cpu().numpy(), finite.cpu().numpy()
