"""Labelled shards with wrong labels: Fashion-MNIST, four in ten of the pool's labels another class's.

    python benchmarks/fashion_labels.py --source FOLDER [--out data/01_raw/fashion_labels] [--seed 0] [--share S]
    kedro run --pipeline=classact --env=fashion_labels

FOLDER and the evaluation set are as of `fashion.py`.

    pool        the train shards without what follows; of a share of them, label (.cls) and caption say another class, each of the others as
                likely. The json keeps the true `label`
    curated     500 samples of the train shards, right
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from emoji import command, load
from emoji_shuffle import write_shards
from fashion import SIZES, divide, name_of, names_of, record_of, with_class, write_root

from superbatch.artifacts.atomic import atomic_directory
from superbatch.data.writing import Sample

OUT = Path(__file__).resolve().parents[1] / "data" / "01_raw" / "fashion_labels"
TEMPLATES = ("a grayscale photo of a {c}.", "a photo of a {c}.")


def prepare(
    source: Path,
    out: Path,
    *,
    share: float = 0.4,
    sizes: dict[str, int] = SIZES,
    seed: int = 0,
    limit: int | None = None,
) -> dict[str, int]:
    """Write pool, curated set and evaluation set into a folder, whole.

    Args:
        source: the folder with the shards.
        out: the folder; what was there is replaced.
        share: of the pool's labels that are wrong.
        sizes: samples that are drawn out of the train shards first; the pool is the rest.
        seed: of all draws.
        limit: samples of the train shards and of the test at most, for tests.

    Returns:
        Samples by set, and how many of the pool's have a wrong label.
    """
    parts, pool = divide(load(source, "train")[:limit], sizes, seed)
    test, curated = load(source, "test")[:limit], parts.pop("curated")
    names = names_of(pool + curated + test)
    wrong = wrong_labels([record_of(sample)["label"] for sample in pool], len(names), share, seed)
    with atomic_directory(out) as folder:
        write_shards([with_label(*one, names) for one in zip(pool, wrong, strict=True)], folder / "pool")
        write_truth(pool, wrong, folder / "truth")
        write_shards([with_class(sample, record_of(sample)["label"]) for sample in curated], folder / "curated")
        write_root(parts | {"test": test}, folder / "evaluation", name_of, TEMPLATES)
    return {"pool": len(pool), **sizes, "test": len(test), "wrong": sum(label is not None for label in wrong)}


def wrong_labels(labels: Sequence[int], classes: int, share: float, seed: int) -> list[int | None]:
    """Draw which samples of a set get a wrong label, and which: one of the others, each as likely; None for those that keep theirs."""
    rng, found = np.random.default_rng(seed), list[int | None]([None] * len(labels))
    for row in rng.permutation(len(labels))[: round(share * len(labels))].tolist():
        found[row] = int((labels[row] + rng.integers(1, classes)) % classes)
    return found


def with_label(sample: Sample, wrong: int | None, names: Mapping[int, str]) -> Sample:
    """Give a sample its class, or a wrong one, in `.cls` and caption."""
    record = record_of(sample)
    if wrong is None:
        return with_class(sample, record["label"])
    text = sample.parts["txt"].decode().replace(record["caption_name"], names[wrong])
    return with_class(replace(sample, parts=sample.parts | {"txt": text.encode()}), wrong)


def write_truth(samples: Sequence[Sample], wrong: Sequence[int | None], folder: Path) -> None:
    """Write pool.parquet: key, and kind (clean or mismatched), which only reports read."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = ["clean" if label is None else "mismatched" for label in wrong]
    pq.write_table(pa.table({"key": [sample.key for sample in samples], "kind": kinds}), folder / "pool.parquet")


if __name__ == "__main__":
    command(__doc__.splitlines()[0], "train-*.tar and test-*.tar", prepare, OUT, "classact")
