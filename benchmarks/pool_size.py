"""What the start of a run, filters, decisions and duplicates take in time and memory, against the size of the pool: 1e6, 1e7 and 1e8 rows.

    python benchmarks/pool_size.py [--only PART ...] [--powers 6 7 8] [--limit GB] [--quick] [--json FILE] [--threads N] [--folder DIR]

Parts: `start`, from opening the set to the first super-batch in hand (imports aside, building the model included); `filter`, `like`,
`balance`, what a run's start does with the embeddings; `decide`, six rules and reading them; `order`, `cache`, a super-batch of 20,480;
`files`, equal files and hashes; `dedup`, near-duplicates by embedding of 1e7 images, with planted copies. All sets are made up, and go
through the code that runs use. Figures: <part>_s and <part>_mb by rows, the latter by how much private memory rose at most; start_private_mb is
all private memory of the process; <part>_load, how busy the machine was. A FILE that is there keeps the figures of other parts. 1e8 rows take up to 9 GB of disk, in DIR and where TMPDIR says; --quick is 1e5 rows.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pool_parts as parts
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


def write_pool(folder: Path, rows: int) -> None:
    """Write manifest, places and token cache of a set of `rows` rows, whose images are the same 64 small ones."""
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
    """Run a few uniform steps on a pool; returns seconds to the first super-batch, and megabytes in use in the end."""
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
        start = time.perf_counter()
        job = learner_job("pool", settings, pool, Path(folder))
        loop.train(job)
    return found


def _watch(picks: Iterable[Any], found: dict[str, float], start: float) -> Iterator[Any]:
    for step, pick in enumerate(picks):
        if step == 0:
            found["start_s"] = time.perf_counter() - start
        yield pick
        if step == STEPS - 1:
            found |= {"private_mb": parts.megabytes("RssAnon"), "mapped_mb": parts.megabytes("RssFile")}


def start_part(folder: Path, threads: int) -> dict[str, Any]:
    """Start a run of a made-up pool; its seconds are those to the first super-batch."""
    found = measure(SetFiles(folder / "set", folder / "features"), threads)
    return {"s": found.pop("start_s"), **found}


@dataclass(frozen=True)
class Part:
    """What is measured: a function, what writes the folder that it reads (None: it is given the rows), and at most how many rows it takes."""

    run: Callable[..., dict[str, Any]]
    write: Callable[[Path, int], None] | None = None
    powers: tuple[int, ...] = (6, 7, 8)


PARTS = {
    "start": Part(start_part, write_pool),
    "filter": Part(parts.filter_part, parts.write_cache),
    "like": Part(parts.like_part, parts.write_cache),
    "balance": Part(parts.balance_part, parts.write_cache),
    "cache": Part(parts.cache_part, parts.write_cache),
    "decide": Part(parts.decide_part, parts.write_table),
    "order": Part(parts.order_part),
    "files": Part(parts.file_part),
    "dedup": Part(parts.dedup_part, parts.write_images, (7,)),
}


def run_part(name: str, rows: int, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Write what a part reads, unless the part before has left it, and run the part in a process of its own."""
    part = PARTS[name]
    given: list[Any] = [rows]
    if part.write is not None:
        place = folder / part.write.__name__
        for other in folder.iterdir():
            if other != place:
                shutil.rmtree(other)
        if not place.exists():
            place.mkdir()
            part.write(place, rows)
        given = [place, *([options.threads] if name == "start" else [])]
    with multiprocessing.get_context("spawn").Pool(1) as process:
        found: dict[str, Any] = process.apply(parts.watched, (part.run, options.limit, *given))
    return found


def main() -> None:
    """Measure each part at each size, print a table and the closing line."""
    made = parser(__doc__.splitlines()[0])
    made.add_argument("--folder", type=Path, help="where the pools are written for the time of the run")
    made.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    made.add_argument("--powers", nargs="+", type=int, help="of ten: the rows of all parts")
    made.add_argument(
        "--limit",
        type=float,
        default=4.0,
        metavar="GB",
        help="private memory of a part, at most, what its threads and libraries set aside included",
    )
    options: argparse.Namespace = made.parse_args()
    torch.set_num_threads(options.threads)
    figures: dict[str, Any] = _before(options.json) | {"limit_gb": options.limit}
    lines = []
    for power in options.powers or ((5,) if options.quick else (6, 7, 8)):
        with TemporaryDirectory(dir=options.folder) as folder:
            for name in options.only:
                if not (options.powers or options.quick or power in PARTS[name].powers):
                    continue
                found = run_part(name, 10**power, Path(folder), options)
                found["load"] = os.getloadavg()[1]
                figures |= {f"{name}_{key}.1e{power}": _short(value) for key, value in found.items()}
                more = ", ".join(
                    f"{key} {_short(value)}" for key, value in found.items() if key not in ("s", "cpu_s", "mb")
                )
                lines.append([name, f"1e{power}", f"{found['s']:.2f}", f"{found['cpu_s']:.2f}", f"{found['mb']:.0f}"])
                print(*lines[-1], more, flush=True)
    print(table(["part", "rows", "s", "CPU s", "MB"], lines))
    report("pool_size", figures, options)


def _before(path: Path | None) -> dict[str, Any]:
    """Return the figures of parts that were measured before; those of this run take their place."""
    known = json.loads(path.read_text()) if path is not None and path.exists() else {}
    return {name: value for name, value in known.items() if name.split("_")[0] in PARTS}


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
