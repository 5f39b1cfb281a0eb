"""Do models know rare names too? Drawings of icons' held-out teams, by how many rows of the pool are called the same, and retrieval among each kind.

    python benchmarks/rare_names.py MODEL ... --package FILE [--data data/icons] [--most 500] [--json FILE]

A MODEL is a checkpoint directory, such as data/icons/06_models/common_first-T8000-s0. FILE is `@iconify/json`, a folder or a .tgz; the one that npm
fetched lies in data/icons/.stages/packages. The names are concepts: without the words of style at their end. The pool has no drawing of these teams.
"""

from __future__ import annotations

import argparse
import io
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
from few_first import STYLE
from PIL import Image

from superbatch.data.manifest import read_manifest
from superbatch.icons.concepts import concept_of
from superbatch.icons.package import read_sets
from superbatch.icons.rendering import Unrenderable, render
from superbatch.icons.sets import Drawing
from superbatch.models import load_checkpoint
from superbatch.tasks.inference import embed_images, embed_texts

KINDS = {"1 to 3": (1, 3), "4 to 9": (4, 9), "10 to 30": (10, 30), "more": (31, 10**9)}  # rows of the pool
SIDE = 32


def main() -> None:
    """Print R@1 of each model among the drawings of each kind of name."""
    options = arguments()
    torch.set_num_threads(options.threads)
    drawings = by_kind(options)
    rows = [
        {"model": model.name, **{kind: recall(model, of) for kind, of in drawings.items()}} for model in options.models
    ]
    header = ["R@1 %", *(f"{kind} ({len(of)})" for kind, of in drawings.items())]
    print(common.table(header, [[row["model"], *(f"{100 * row[kind]:.1f}" for kind in drawings)] for row in rows]))
    common.report("rare_names", {"names": {kind: len(of) for kind, of in drawings.items()}, "rows": rows}, options)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    made = common.parser(__doc__.splitlines()[0])
    made.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    made.add_argument("--package", type=Path, required=True, metavar="FILE", help="@iconify/json")
    made.add_argument("--data", type=Path, default=Path("data/icons"), metavar="FOLDER", help="holds 02_intermediate")
    made.add_argument("--most", type=int, default=500, help="names of each kind")
    return made.parse_args()


def by_kind(options: argparse.Namespace) -> dict[str, list[tuple[str, Image.Image]]]:
    """Draw names with one drawing each, by how often the pool has them."""
    pool = read_manifest(options.data / "02_intermediate" / "pool")
    counts = Counter(concept_of(caption.lower(), STYLE) for caption in pool.first_captions())
    held_out = set(common.parameters("icons")["icons"]["test_sets"])
    named: dict[str, list[Drawing]] = defaultdict(list)
    for one in read_sets(options.package):
        for drawing in one.drawings if one.name in held_out else ():
            named[drawing.concept].append(drawing)
    rng, found = np.random.default_rng(options.seed), {}
    for kind, (least, most) in KINDS.items():
        names = sorted(name for name in named if least <= counts[name] <= most)
        drawn = [(name, named[name][rng.integers(len(named[name]))]) for name in rng.permutation(names)]
        found[kind] = pictures(drawn, options.most)
    return found


def pictures(drawn: list[tuple[str, Drawing]], most: int) -> list[tuple[str, Image.Image]]:
    """Render drawings, as many as are wanted; those that have no picture are left out."""
    found: list[tuple[str, Image.Image]] = []
    for name, drawing in drawn:
        if len(found) == most:
            break
        try:
            found.append((str(name), Image.open(io.BytesIO(render(drawing, SIDE)))))
        except Unrenderable:
            continue
    return found


def recall(model: Path, of: list[tuple[str, Any]]) -> float:
    """R@1 of both directions among names and their drawings, the mean."""
    clip = load_checkpoint(model)
    names, images = zip(*of, strict=True)
    alike = embed_images(clip, images) @ embed_texts(clip, names).T
    own = torch.arange(len(of))
    return float(((alike.argmax(0) == own).float().mean() + (alike.argmax(1) == own).float().mean()) / 2)


if __name__ == "__main__":
    main()
