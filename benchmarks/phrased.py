"""Labels that are said in many ways: Fashion-MNIST, each caption one of 64 phrases with its class's name, half of the pool's exchanged.

    python benchmarks/phrased.py --source FOLDER [--out data/01_raw/phrased] [--seed 0] [--share S]
    kedro run --pipeline=jest --env=phrased

FOLDER and all sets are as of `fashion.py`; only captions differ. Prompts are the 64 phrases.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import fashion
import numpy as np
from emoji import command
from fashion import named_in_caption

from superbatch.data.writing import Sample

OUT = Path(__file__).resolve().parents[1] / "data" / "01_raw" / "phrased"
SAID = (
    "{c}", "this is {c}", "a photo of {c}", "a picture of {c}", "an image of {c}", "a close-up of {c}", "a catalogue page with {c}", "look at {c}",
)  # fmt: skip
AND = (
    "", " on a white background", " in a shop window", " for sale", " seen from the front", " from last season", " in a good state", " worn once",
)  # fmt: skip
PHRASES = [f"{said}{more}." for more, said in product(AND, SAID)]


def prepare(source: Path, out: Path, *, seed: int = 0, **given: Any) -> dict[str, int]:
    """Write pool, curated set and evaluation set into a folder, whole, as `fashion.prepare` does with the same arguments."""
    say = partial(phrased, rng=np.random.default_rng(seed))
    return fashion.prepare(source, out, seed=seed, say=say, prompts=PHRASES, **given)


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
