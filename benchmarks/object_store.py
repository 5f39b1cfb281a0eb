"""Shards in an object store: what a shuffle window costs in mixing and needs of the cache, and how reading goes with a slow server.

    python benchmarks/object_store.py [--quick] [--json FILE] [--delay SECONDS]

Mixing is counted from the order itself, so it is the same everywhere. For each window: `shards`, the effective number of shards that a super-batch's
rows come from (1 over the sum of the squared shares; over steps the mean), `largest`, the largest share of one shard (the mean), and `cache_gb`,
what the steps of two windows read, at most, wherever they begin: with so much room the next window is fetched while one is in use.

Reading is measured against moto's S3 server on loopback, which waits before each answer (needs the packages of `make extras`): seconds and
requests for the same rows drawn at random from a store by ranges of bytes, with the shards fetched before they are read (`cold`), out of the cache
(`warm`), and from files.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from common import ROOT, parser, report, table
from photos import write_shards

from superbatch.data.ingest import ingest
from superbatch.data.manifest import read_manifest
from superbatch.data.order import Order
from superbatch.data.reader import ImageReader
from superbatch.files import expand_shards
from superbatch.stores.cache import ShardCache

sys.path.insert(0, str(ROOT))
from tests.s3_server import S3, environment, serving

SHARD_ROWS, SHARD_GB, POOL_SHARDS = 10_000, 0.4, 1_000  # as img2dataset packs images of 256 px
SUPER_BATCH = 10_240  # b = 2,048 at f = 0.8
WINDOWS = (1, 2, 5, 10, 20, 50, 0)  # super-batches; 0: all rows
STEPS, QUICK_STEPS = 200, 120  # two of the widest windows, and more
IMAGE_SIZE = 224


def mixing(window: int, steps: int, seed: int) -> dict[str, Any]:
    """Count from which shards the super-batches of some steps come."""
    order = Order(seed, SHARD_ROWS * POOL_SHARDS, SUPER_BATCH, window * SUPER_BATCH)
    shards = [order.rows(step) // SHARD_ROWS for step in range(steps)]
    shares = [np.unique(one, return_counts=True)[1] / len(one) for one in shards]
    span = 2 * window or steps
    needed = max(len(np.unique(np.concatenate(shards[i : i + span]))) for i in range(max(1, steps - span)))
    return {
        "window": window * SUPER_BATCH,
        "shards": float(np.mean([1 / np.sum(one**2) for one in shares])),
        "largest": float(np.mean([one.max() for one in shares])),
        "cache_gb": (needed if window else POOL_SHARDS) * SHARD_GB,
    }


def told(rows: Sequence[dict[str, Any]]) -> str:
    """The table of mixing."""
    cells = [
        (
            f"{row['window']:,}" if row["window"] else "all rows",
            f"{row['shards']:.1f}",
            f"{100 * row['largest']:.1f} %",
            f"{row['cache_gb']:,.1f}",
        )
        for row in rows
    ]
    return table(("window", "effective shards", "largest share", "cache, GB"), cells)


def reading(s3: S3, folder: Path, samples: int, delay: float, seed: int) -> dict[str, dict[str, float]]:
    """Read the same rows in each way; images a second, and requests an image."""
    import fsspec

    os.environ |= environment(s3)
    paths = write_shards(folder / "shards", 16, samples, seed)
    files = fsspec.filesystem("s3")
    files.mkdir("benchmark")
    for path in paths:
        files.put_file(str(path), f"benchmark/{path.name}")
    ingest(expand_shards(str(folder / "shards" / "*.tar")), folder / "local")
    ingest(expand_shards("s3://benchmark/*.tar"), folder / "far")
    rows = np.random.default_rng(seed).permutation(samples)
    local, far = read_manifest(folder / "local"), read_manifest(folder / "far")
    cache = ShardCache(folder / "cache", 10**10)

    def cold() -> None:
        for known in far.objects.values():
            cache.fetch(known)
        ImageReader(far, IMAGE_SIZE, cache).read(rows)

    ways: dict[str, Callable[[], object]] = {
        "ranges": lambda: ImageReader(far, IMAGE_SIZE, ShardCache(folder / "none", 0)).read(rows),
        "cold": cold,
        "warm": lambda: ImageReader(far, IMAGE_SIZE, cache).read(rows),
        "files": lambda: ImageReader(local, IMAGE_SIZE).read(rows),
    }
    s3.delay = delay
    return {name: _measured(s3, way, samples) for name, way in ways.items()}


def _measured(s3: S3, way: Callable[[], object], samples: int) -> dict[str, float]:
    s3.requests.clear()
    start = time.perf_counter()
    way()
    return {
        "images_a_second": samples / (time.perf_counter() - start),
        "requests_an_image": len(s3.requests) / samples,
    }


def main(options: argparse.Namespace) -> None:
    """Count, measure, and tell."""
    mixed = [mixing(window, QUICK_STEPS if options.quick else STEPS, options.seed) for window in WINDOWS]
    print(told(mixed), flush=True)
    with serving() as s3, TemporaryDirectory() as folder:
        samples = 512 if options.quick else 2_048
        read = reading(s3, Path(folder), samples, options.delay, options.seed)
    cells = [(name, f"{row['images_a_second']:,.0f}", f"{row['requests_an_image']:.3f}") for name, row in read.items()]
    print(table((f"{1000 * options.delay:.0f} ms a request", "images a second", "requests an image"), cells))
    pool = {"shard_rows": SHARD_ROWS, "shard_gb": SHARD_GB, "shards": POOL_SHARDS, "super_batch": SUPER_BATCH}
    report("object_store", {"pool": pool, "mixing": mixed, "delay": options.delay, "reading": read}, options)


if __name__ == "__main__":
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--delay", type=float, default=0.02, help="seconds before each of the server's answers")
    main(arguments.parse_args())
