"""Labels that are said in many ways: Fashion-MNIST, each caption one of 64 phrases with its class's name, half of the pool's exchanged.

    python benchmarks/phrased.py --source FOLDER [--out data/01_raw/phrased] [--seed 0] [--share S]
    kedro run --pipeline=jest --env=phrased

FOLDER and all sets are as of `fashion.py`; only captions differ. Prompts are the 64 phrases.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from emoji import command, load
from emoji_shuffle import write_pool, write_shards
from fashion import SIZES, divide, named_in_caption, write_root

from superbatch.artifacts.atomic import atomic_directory
from superbatch.data.writing import Sample

OUT = Path(__file__).resolve().parents[1] / "data" / "01_raw" / "phrased"
SAID = (
    "{c}", "this is {c}", "a photo of {c}", "a picture of {c}", "an image of {c}", "a close-up of {c}", "a catalogue page with {c}", "look at {c}",
)  # fmt: skip
AND = (
    "", " on a white background", " in a shop window", " for sale", " seen from the front", " from last season", " in a good state", " worn once",
)  # fmt: skip
PHRASES = [f"{said}{more}." for more, said in product(AND, SAID)]


def prepare(
    source: Path,
    out: Path,
    *,
    share: float = 0.5,
    sizes: dict[str, int] = SIZES,
    seed: int = 0,
    limit: int | None = None,
) -> dict[str, int]:
    """Write pool, curated set and evaluation set into a folder, whole.

    Args:
        source: the folder with the shards.
        out: the folder; what was there is replaced.
        share: of the pool's captions that are shuffled.
        sizes: samples that are drawn out of the train shards before the shuffle; the pool is the rest.
        seed: of all draws.
        limit: samples of the train shards and of the test at most, for tests.

    Returns:
        Samples by set, and how many of the pool's are wrong pairs.
    """
    parts, pool = divide(load(source, "train")[:limit], sizes, seed)
    test, rng = load(source, "test")[:limit], np.random.default_rng(seed)
    with atomic_directory(out) as folder:
        wrong = write_pool(phrased(pool, rng), folder, share, seed)
        write_shards(phrased(parts.pop("curated"), rng), folder / "curated")
        write_root(parts | {"test": test}, folder / "evaluation", named_in_caption, PHRASES)
    return {"pool": len(pool), **sizes, "test": len(test), "mismatched": wrong}


def phrased(samples: Iterable[Sample], rng: np.random.Generator) -> list[Sample]:
    """Say each sample's class by a random phrase."""
    return [
        replace(
            one, parts=one.parts | {"txt": PHRASES[rng.integers(len(PHRASES))].format(c=named_in_caption(one)).encode()}
        )
        for one in samples
    ]


if __name__ == "__main__":
    command(__doc__.splitlines()[0], "train-*.tar and test-*.tar", prepare, OUT)
