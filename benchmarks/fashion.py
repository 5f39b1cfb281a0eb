"""Real shards with classes as pool, curated set and evaluation set: Fashion-MNIST, half of the pool's captions exchanged.

    python benchmarks/fashion.py --source FOLDER [--out data/01_raw/fashion] [--seed 0] [--share S]
    kedro run --pipeline=jest --env=fashion

FOLDER holds train-*.tar and test-*.tar: WebDataset shards whose json has `label` and `caption_name`.

    pool        the train shards without what follows, captions shuffled by emoji_shuffle.py
    curated     500 samples of the train shards, clean
    evaluation  classification; train (2,000 labelled images, which teach few-shot, probe and k-NN) and validation (1,000): other samples of
                the train shards; test: the test shards
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from emoji import command, load
from emoji_shuffle import write_pool, write_shards

from superbatch.artifacts.atomic import atomic_directory
from superbatch.data.writing import Sample, write_lines, write_split

OUT = Path(__file__).resolve().parents[1] / "data" / "01_raw" / "fashion"
TEMPLATE = "a grayscale photo of {c}."  # as all captions have it: text that was never seen costs up to 40 points of zero-shot accuracy
SIZES = {"curated": 500, "train": 2_000, "validation": 1_000}


def prepare(
    source: Path,
    out: Path,
    *,
    share: float = 0.5,
    sizes: dict[str, int] = SIZES,
    seed: int = 0,
    limit: int | None = None,
    say: Callable[[list[Sample]], list[Sample]] = list,
    prompts: Sequence[str] = (TEMPLATE,),
) -> dict[str, int]:
    """Write pool, curated set and evaluation set into a folder, whole.

    Args:
        source: the folder with the shards.
        out: the folder; what was there is replaced.
        share: of the pool's captions that are shuffled.
        sizes: samples that are drawn out of the train shards before the shuffle; the pool is the rest.
        seed: of all draws.
        limit: samples of the train shards and of the test at most, for tests.
        say: puts captions, of the pool and then of the curated set, into other words.
        prompts: of the evaluation, with `{c}` for a class's name.

    Returns:
        Samples by set, and how many of the pool's are wrong pairs.
    """
    parts, pool = divide(load(source, "train")[:limit], sizes, seed)
    test = load(source, "test")[:limit]
    with atomic_directory(out) as folder:
        wrong = write_pool(say(pool), folder, share, seed)
        write_shards(say(parts.pop("curated")), folder / "curated")
        write_root(parts | {"test": test}, folder / "evaluation", named_in_caption, prompts)
    return {"pool": len(pool), **sizes, "test": len(test), "mismatched": wrong}


def divide(everything: list[Sample], sizes: dict[str, int], seed: int) -> tuple[dict[str, list[Sample]], list[Sample]]:
    """Draw sets of some sizes out of samples; returns them by name, and the rest, all in their old order."""
    order = np.random.default_rng(seed).permutation(len(everything)).tolist()
    parts = {}
    for name, size in sizes.items():
        parts[name], order = [everything[number] for number in sorted(order[:size])], order[size:]
    return parts, [everything[number] for number in sorted(order)]


def with_class(sample: Sample, label: int) -> Sample:
    """Give a sample a class of its own (`.cls`)."""
    return replace(sample, parts=sample.parts | {"cls": str(label).encode()})


def record_of(sample: Sample) -> dict[str, Any]:
    """Return what a sample's json says: `label`, `caption_name` and more."""
    found: dict[str, Any] = json.loads(sample.parts["json"])
    return found


def name_of(sample: Sample) -> str:
    """Return the name of a sample's class, without an article."""
    found: str = record_of(sample)["caption_name"]
    return found


def named_in_caption(sample: Sample) -> str:
    """Return a class's name as captions have it, with its article: `an ankle boot`."""
    before, after = TEMPLATE.split("{c}")
    return sample.parts["txt"].decode().strip().removeprefix(before).removesuffix(after)


def names_of(samples: list[Sample], name: Callable[[Sample], str] = name_of) -> dict[int, str]:
    """Return the name of each class that is among some samples."""
    return {int(record_of(sample)["label"]): name(sample) for sample in samples}


def write_root(
    splits: dict[str, list[Sample]], root: Path, name: Callable[[Sample], str], templates: Sequence[str]
) -> None:
    """Write a classification set in CLIP_benchmark's layout.

    Args:
        splits: samples by split. root: the folder. name: of a sample's class. templates: of prompts, with `{c}` for the name.
    """
    names: dict[int, str] = {}
    for split, samples in splits.items():
        names |= names_of(samples, name)
        write_split(root / split, [with_class(sample, record_of(sample)["label"]) for sample in samples])
    write_lines(root / "dataset_type.txt", ["classification"])
    write_lines(root / "classnames.txt", [names[label] for label in range(len(names))])
    write_lines(root / "zeroshot_classification_templates.txt", templates)


if __name__ == "__main__":
    command(__doc__.splitlines()[0], "train-*.tar and test-*.tar", prepare, OUT)
