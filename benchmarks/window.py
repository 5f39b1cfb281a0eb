"""What a shuffle window costs in accuracy: learners over a pool as it is packed, and over the same pool sorted by caption.

    python benchmarks/window.py --reference DIR [--quick] [--json FILE] [--threads N] [--data FOLDER]
                                [--methods M ...] [--windows W ...] [--steps T] [--seeds S ...]

Sorted by caption is the worst a pool can be: rows that lie together say the same, as in shards of one topic each. Each learner reads the pool through a
window of W rows (`training.shuffle_window`; 0 mixes all rows) and is measured on the test split. DIR is the checkpoint of the reference that chooses.
FOLDER holds 02_intermediate (default: data); what is made on the way stays in FOLDER/window and is found again. Paths in manifests count from the working
directory: give the command where the sets were ingested.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import common
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from reference_map_sets import Curated, once, quick_sets
from reference_map_world import Reference, Strength, World, parameters

from superbatch.data.manifest import MANIFEST_FILE, read_manifest, write_manifest

METHODS = ("easy_reference", "jest")
WINDOWS = (2_560, 5_120, 10_240, 0)
METRICS = {
    "top-1": ("classification/top1",),
    "R@1": ("retrieval/image_to_text_r1", "retrieval/text_to_image_r1"),
    "R@10": ("retrieval/image_to_text_r10", "retrieval/text_to_image_r10"),
}  # means


def arguments() -> argparse.Namespace:
    """Read the command line."""
    made = common.parser(__doc__.splitlines()[0])
    made.add_argument("--data", type=Path, default=Path("data"), metavar="FOLDER", help="holds 02_intermediate")
    made.add_argument("--reference", type=Path, metavar="DIR", help="a checkpoint (data/06_models/reference)")
    made.add_argument("--methods", nargs="+", default=list(METHODS), metavar="M")
    made.add_argument("--windows", type=int, nargs="+", default=list(WINDOWS), metavar="W", help="rows; 0: all")
    made.add_argument("--steps", type=int, default=1_230, help="of the learners")
    made.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the learners")
    options = made.parse_args()
    if options.reference is None and not options.quick:
        made.error("--reference: name the checkpoint of the reference that chooses, such as data/06_models/reference")
    return options


def opened(options: argparse.Namespace, work: Path) -> World:
    """Open the project's sets, or make small ones."""
    given = parameters("quick" if options.quick else None)
    if options.quick:
        given["learner"]["training"]["batch_size"] = 16
        pool, curated, evaluation = quick_sets(given["simweb"], work)
    else:
        pool, curated, evaluation = (
            options.data / "02_intermediate" / name for name in ("pool", "curated", "evaluation")
        )
    parts = Curated(curated, work / "stages", options.seed)
    return World("window", given, pool, parts, evaluation, work, options.seed, options.threads)


def by_caption(pool: Path, stages: Path) -> Path:
    """Return a directory with a pool's rows in the order of their captions, as if shards had been packed so."""
    manifest = read_manifest(pool)

    def write(out: Path) -> None:
        table = pq.read_table(manifest.path)
        order = pc.sort_indices(
            pa.table({"caption": pc.list_element(table["captions"], 0)}), [("caption", "ascending")]
        )
        write_manifest(out / MANIFEST_FILE, table.take(order), manifest.shard_sizes)

    return once("sorted pool", ["by caption", manifest.fingerprint], stages, write)


def learn(world: World, method: str, window: int, options: argparse.Namespace, reference: Reference) -> dict[str, Any]:
    """Train a method's learners through a window, one a seed; returns their values on the test split."""
    found = []
    for seed in options.seeds:
        settings = world.settings(
            method, options.steps, world.parameters["learner"]["training"]["optimizer"]["learning_rate"], seed
        )
        settings = replace(settings, training=replace(settings.training, shuffle_window=window))
        test = world.learn(f"{method}-w{window}-s{seed}", settings, reference)["test"]
        found.append({name: mean(test[metric] for metric in metrics) for name, metrics in METRICS.items()})
    return {name: [one[name] for one in found] for name in METRICS}


def rows_of(world: World, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure each method over both pools by all windows; without a window the order of the rows is all the same, so that is run once."""
    pools = {
        "as packed": world,
        "sorted by caption": replace(world, pool=by_caption(world.pool, world.work / "stages")),
    }
    reference = world.reference(Strength(60, 8) if options.quick else Strength(source=options.reference))
    return [
        {"pool": name, "method": method, "window": window} | learn(one, method, window, options, reference)
        for method in options.methods
        for name, one in pools.items()
        for window in options.windows
        if window or one is world
    ]


def cells(row: dict[str, Any]) -> list[str]:
    """A row of the table: the means over seeds, in percent."""
    shown = [f"{100 * mean(row[name]):.1f}" for name in METRICS]
    return [row["pool"], row["method"], f"{row['window']:,}" if row["window"] else "all rows", *shown]


def main() -> None:
    """Train all learners, print the table and the line of JSON."""
    options = arguments()
    torch.set_num_threads(options.threads)
    if options.quick:
        options.steps, options.methods, options.windows = 4, ["jest"], [128, 0]
    with tempfile.TemporaryDirectory() as scratch:
        world = opened(options, Path(scratch) if options.quick else (options.data / "window").resolve())
        rows = rows_of(world, options)
    print(common.table(["pool", "method", "window", *(f"{name} %" for name in METRICS)], [cells(row) for row in rows]))
    options.seed = options.seeds
    common.report("window", {"steps": options.steps, "rows": rows}, options)


if __name__ == "__main__":
    main()
