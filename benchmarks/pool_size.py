"""Start-up time and memory of a run against the size of its pool: 1e4, 1e6 and 1e8 rows.

    python benchmarks/pool_size.py [--quick] [--json FILE] [--threads N] [--folder DIR]

Figures: pool_start_s.<rows>, from opening the set to the first super-batch in hand (imports aside, building the model included), and
pool_memory_mb.<rows>, private memory of the process after the last step. The set is made up: a manifest, places and a token cache of
that many rows, whose images are the same 64 small ones. 1e8 rows take 4 GB of disk; --quick leaves them out.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from common import ROOT, parser, report, table
from photos import write_shards

from superbatch.data.ingest import ingest
from superbatch.data.manifest import MANIFEST_FILE, MANIFEST_SCHEMA, PLACE, read_manifest
from superbatch.models import build_model
from superbatch.options import LearnerSettings, ModelSettings, TrainingSettings
from superbatch.tasks import SetFiles, learner_job
from superbatch.tasks.view import View

IMAGES = 64
BLOCK = 1_000_000
STEPS = 20


def write_pool(folder: Path, rows: int) -> SetFiles:
    """Write manifest, places and token cache of a set of `rows` rows."""
    ingest(write_shards(folder / "shards", IMAGES, IMAGES, 0), folder / "small")
    small = read_manifest(folder / "small")
    pattern = np.resize(small.places, min(rows, BLOCK))
    out = folder / "set"
    out.mkdir()
    _write_manifest(out, small.path, rows)
    places = np.lib.format.open_memmap(out / "places-made-up.npy", "w+", PLACE, (rows,))
    for start in range(0, rows, BLOCK):
        places[start : start + BLOCK] = pattern[: min(BLOCK, rows - start)]
    places.flush()
    _write_tokens(folder / "features", rows)
    return SetFiles(out, folder / "features")


def _write_manifest(out: Path, small: Path, rows: int) -> None:
    metadata = {**(pq.read_schema(small).metadata or {})}
    metadata |= {b"superbatch.fingerprint": b"made up", b"superbatch.places": b"places-made-up.npy"}
    repeated = pq.read_table(small).cast(MANIFEST_SCHEMA)
    indices = pa.array(np.arange(min(rows, BLOCK)) % len(repeated))
    block = repeated.take(indices)
    with pq.ParquetWriter(out / MANIFEST_FILE, MANIFEST_SCHEMA.with_metadata(metadata), compression="zstd") as writer:
        for start in range(0, rows, BLOCK):
            part = block.slice(0, min(BLOCK, rows - start))
            keys = pa.array(np.arange(start, start + len(part))).cast(pa.string())
            writer.write_table(part.set_column(0, MANIFEST_SCHEMA.field("key"), keys))


def _write_tokens(features: Path, rows: int) -> None:
    """Write the cache of token ids; the ids are zero, so that the file takes no room where nothing is read."""
    clip = _model()
    folder = features / View.of(clip).tokens_dir
    folder.mkdir(parents=True)
    np.lib.format.open_memmap(folder / "tokens.npy", "w+", np.int32, (rows, clip.context_length)).flush()
    offsets = np.lib.format.open_memmap(folder / "offsets.npy", "w+", np.int64, (rows + 1,))
    for start in range(0, rows + 1, BLOCK):
        offsets[start : start + BLOCK] = np.arange(start, min(start + BLOCK, rows + 1))
    offsets.flush()
    np.save(folder / "distinct.npy", np.zeros(1, np.int32))
    facts = {"manifest": "made up", "rows": rows, "captions": rows, "captioned_rows": rows}
    (folder / "tokens.json").write_text(json.dumps(facts))


def _model() -> Any:
    return build_model(ModelSettings(config=_config()), loss="sigmoid", batch_size=64, seed=0)


def _config() -> str:
    return str(ROOT / "conf/models/tiny.json")


def measure(pool: SetFiles, threads: int) -> dict[str, float]:
    """Run a few uniform steps on a pool; returns seconds to the first super-batch and, by step, megabytes in use."""
    from superbatch.training import loop

    found: dict[str, float] = {}
    picks = loop.picks

    def watched(*arguments: Any) -> Iterator[Any]:
        return _watch(picks(*arguments), found, start)

    loop.picks = watched
    training = TrainingSettings(batch_size=64, steps=STEPS, threads=threads, device="cpu")
    settings = LearnerSettings(model=ModelSettings(config=_config()), training=training)
    with TemporaryDirectory() as folder:
        _model()  # what is imported on first use is not the pool's
        before = _megabytes("RssAnon")
        start = time.perf_counter()
        job = learner_job("pool", settings, pool, Path(folder))
        loop.train(job)
    return {**found, "before_mb": before}


def _watch(picks: Iterable[Any], found: dict[str, float], start: float) -> Iterator[Any]:
    for step, pick in enumerate(picks):
        if step == 0:
            found["start_s"] = time.perf_counter() - start
        yield pick
        if step in (2, STEPS - 1):
            found[f"step_{step}_mb"] = _megabytes("RssAnon")
            found["mapped_mb"] = _megabytes("RssFile")


def _megabytes(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key + ":"))


def main() -> None:
    """Measure each size in a process of its own, print the table and the closing line."""
    made = parser(__doc__.splitlines()[0])
    made.add_argument("--folder", type=Path, help="where the pools are written for the time of the run")
    options: argparse.Namespace = made.parse_args()
    torch.set_num_threads(options.threads)
    figures: dict[str, float] = {}
    rows = []
    for power in (4, 6) if options.quick else (4, 6, 8):
        with TemporaryDirectory(dir=options.folder) as folder:
            pool = write_pool(Path(folder), 10**power)
            with multiprocessing.get_context("spawn").Pool(1) as process:
                found = process.apply(measure, (pool, options.threads))
        figures[f"pool_start_s.1e{power}"] = round(found["start_s"], 2)
        figures[f"pool_memory_mb.1e{power}"] = round(found[f"step_{STEPS - 1}_mb"])
        names = ("start_s", "before_mb", "step_2_mb", f"step_{STEPS - 1}_mb", "mapped_mb")
        rows.append([f"1e{power}", f"{found['start_s']:.2f}", *(f"{found[name]:.0f}" for name in names[1:])])
    header = ["rows", "start, s", "MB before", "after 3 steps", f"after {STEPS}", "mapped files, MB"]
    print(table(header, rows))
    report("pool_size", figures, options)


if __name__ == "__main__":
    main()
