"""Our evaluation of a checkpoint beside CLIP_benchmark's own, figure by figure, and the time that each takes.

    pip install clip-benchmark
    python benchmarks/evaluation.py --checkpoint data/06_models/jest --root FOLDER [--root FOLDER ...] [--split test]

FOLDER is a classification or retrieval set in CLIP_benchmark's layout. Ours reads its shards with our reader, CLIP_benchmark with webdataset and
open_clip's preprocessing. --quick measures 200 images of each. The seconds include reading: ours ingests the set first.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import common
import torch
from emoji_shuffle import read_samples
from peers_evaluation import figures

from superbatch.data.writing import write_split
from superbatch.evaluation import Evaluator
from superbatch.evaluation.store import ingest_evaluation_sets
from superbatch.models import load_checkpoint

QUICK = 200  # images


def ours(checkpoint: Path, root: Path, split: str, folder: Path) -> dict[str, float]:
    """Return our metrics of a split, ingested into a folder first."""
    clip = load_checkpoint(checkpoint)
    ingest_evaluation_sets({root.name: (root, {split: split})}, folder)
    evaluator = Evaluator.for_model(folder, clip, "cpu", split=split)
    return dict(evaluator.evaluate(clip.model, split)["sets"][root.name]["metrics"])


def beginning(root: Path, split: str, out: Path, images: int) -> Path:
    """Copy the first images of a split, and what lies beside it."""
    out = out / root.name
    shards = sorted((root / split).glob("*.tar"), key=lambda path: int(path.stem))
    write_split(out / split, islice(read_samples(shards), images))
    for file in root.glob("*.txt"):
        shutil.copy(file, out)
    return out


def compared(checkpoint: Path, root: Path, split: str) -> dict[str, Any]:
    """Measure one set both ways: figures, largest difference, seconds."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        own = ours(checkpoint, root, split, Path(folder))
        middle = time.perf_counter()
        peer = figures(checkpoint, root, split)
        end = time.perf_counter()
    difference = max(abs(own[name] - value) for name, value in peer.items())
    return {
        "ours": own,
        "clip_benchmark": peer,
        "difference": difference,
        "seconds": {"ours": middle - start, "clip_benchmark": end - middle},
    }


def main() -> None:
    parser = common.parser(__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=common.ROOT / "data" / "06_models" / "jest")
    parser.add_argument("--root", type=Path, action="append", required=True, metavar="FOLDER")
    parser.add_argument("--split", default="test")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for root in options.root:
            few = beginning(root, options.split, Path(folder), QUICK) if options.quick else root.resolve()
            found[f"{root.parent.name}/{root.name}"] = compared(options.checkpoint.resolve(), few, options.split)
    rows = [
        [name, metric, f"{100 * one['ours'][metric]:.4f}", f"{100 * value:.4f}", f"{one['ours'][metric] - value:+.1e}"]
        for name, one in found.items()
        for metric, value in one["clip_benchmark"].items()
    ]
    print(common.table(["set", "metric", "ours %", "CLIP_benchmark %", "difference"], rows), end="\n\n")
    worst = max(one["difference"] for one in found.values())
    common.report("evaluation", {"evaluation_difference": worst, "sets": found, "split": options.split}, options)


if __name__ == "__main__":
    main()
