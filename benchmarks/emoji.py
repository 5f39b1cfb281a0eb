"""Real shards as pool, curated set and evaluation set: emoji of several vendors, seven captions in ten of the pool exchanged.

    python benchmarks/emoji.py --source FOLDER [--out data/01_raw/emoji] [--seed 0] [--share S]
    kedro run --pipeline=jest --env=emoji

FOLDER holds train-*.tar and test_emojione-*.tar: WebDataset shards whose json lists several `captions` an image.

    pool        the train shards without what follows, captions shuffled by emoji_shuffle.py
    curated     500 samples of the train shards, clean
    evaluation  retrieval; validation: 400 other samples of the train shards, test: EmojiOne, a vendor that training never saw
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from emoji_shuffle import read_samples, write_pool, write_shards

from superbatch.artifacts.atomic import atomic_directory
from superbatch.data.writing import Sample, write_lines, write_split
from superbatch.files import expand_shards

OUT = Path(__file__).resolve().parents[1] / "data" / "01_raw" / "emoji"
TEST = "test_emojione"


@dataclass(frozen=True)
class Parts:
    """The train shards, divided: every sample is in one of the three, in its old order."""

    pool: list[Sample]
    curated: list[Sample]
    validation: list[Sample]


def prepare(
    source: Path,
    out: Path,
    *,
    share: float = 0.7,
    curated: int = 500,
    validation: int = 400,
    seed: int = 0,
    limit: int | None = None,
) -> dict[str, int]:
    """Write pool, curated set and evaluation set into a folder, whole.

    Args:
        source: the folder with the shards.
        out: the folder; what was there is replaced.
        share: of the pool's captions that are shuffled.
        curated, validation: clean samples of the train shards, drawn before the shuffle and taken out of the pool.
        seed: of all draws.
        limit: samples of the train shards and of the test at most, for tests.

    Returns:
        Samples by set, and how many of the pool's are wrong pairs.
    """
    parts = divide(load(source, "train")[:limit], curated, validation, seed)
    test = load(source, TEST)[:limit]
    with atomic_directory(out) as folder:
        wrong = write_pool(parts.pool, folder, share, seed)
        write_shards(parts.curated, folder / "curated")
        for split, samples in (("validation", parts.validation), ("test", test)):
            write_split(folder / "evaluation" / split, map(with_all_captions, samples))
        write_lines(folder / "evaluation" / "dataset_type.txt", ["retrieval"])
    sizes = {field.name: len(getattr(parts, field.name)) for field in fields(parts)}
    return {**sizes, "test": len(test), "mismatched": wrong}


def divide(train: list[Sample], curated: int, validation: int, seed: int) -> Parts:
    """Draw the validation split, one sample a name so that each caption has one image, then the curated set."""
    order = np.random.default_rng(seed).permutation(len(train)).tolist()
    one_a_name = list({name_of(train[number]): number for number in order}.values())
    held_out = set(one_a_name[:validation])
    clean = set([number for number in order if number not in held_out][:curated])
    rest = [number for number in range(len(train)) if number not in held_out | clean]
    return Parts(*([train[number] for number in sorted(numbers)] for numbers in (rest, clean, held_out)))


def name_of(sample: Sample) -> str:
    """What the emoji is called, whoever drew it."""
    return str(json.loads(sample.parts["json"])["name"])


def load(source: Path, name: str) -> list[Sample]:
    """Read the samples of a split; skin tones, near-duplicates of one another, lie in shards of another name."""
    return list(read_samples(expand_shards(str(source / f"{name}-*.tar"), "--source")))


def with_all_captions(sample: Sample) -> Sample:
    """Make the json's captions the sample's text, one a line."""
    captions = json.loads(sample.parts["json"])["captions"]
    return replace(sample, parts=sample.parts | {"txt": "\n".join(captions).encode()})


def command(about: str, shards: str, prepare: Callable[..., dict[str, int]], out: Path, method: str = "jest") -> None:
    """Be the command line of a script that prepares shards for the environment of `out`'s name.

    Args:
        about: what the script does. shards: what it expects in --source.
        prepare: takes source, folder, seed and share; returns samples by set.
        out: the default folder.
        method: that the shards are for.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--source", type=Path, required=True, metavar="FOLDER", help=f"with {shards}")
    parser.add_argument("--out", type=Path, default=out, metavar="FOLDER")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, help="of the pool that is made wrong; by default the script's own")
    options = parser.parse_args()
    given = {} if options.share is None else {"share": options.share}
    counts = prepare(options.source, options.out, seed=options.seed, **given)
    print(f"{options.out}: " + ", ".join(f"{what} {count:,}" for what, count in counts.items()))
    print(f"next: kedro run --pipeline={method} --env={out.name}")


if __name__ == "__main__":
    command(__doc__.splitlines()[0], "train-*.tar and test_emojione-*.tar", prepare, OUT)
