"""Names as labels: the drawings of icons that have one of the two hundred commonest names, half of the pool's captions exchanged.

    make icons
    python benchmarks/names.py [--source data/icons/01_raw/icons/pool] [--out data/01_raw/names] [--by name|set] [--names 200] [--most N] [--varied] [--seed 0] [--share S]
    kedro run --pipeline=jest --env=names

A drawing's name is its caption without words of style at the end (`outline`, `bold`, ...); with --by set it is the name of its icon set, such as
`tabler` or `fluent emoji flat`, of which few are enough. Captions are names; with --varied they are the designers' own. With --most N they are
divided from N drawings at most.

    pool        the rest of the drawings, captions shuffled by emoji_shuffle.py
    curated     500 others, clean
    evaluation  classification by the names; train (2,000 labelled drawings), validation (1,000) and test (2,000): others
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from emoji_shuffle import read_samples, write_pool, write_shards
from fashion import divide, name_of, names_of, record_of, write_root
from few_first import STYLE

from superbatch.artifacts.atomic import atomic_directory
from superbatch.data.sampling import sampled_rows
from superbatch.data.writing import Sample
from superbatch.files import expand_shards
from superbatch.icons.concepts import concept_of

DATA = Path(__file__).resolve().parents[1] / "data"
SOURCE, OUT = DATA / "icons" / "01_raw" / "icons" / "pool", DATA / "01_raw" / "names"
NAMES = 200
Name = Callable[[Sample], str]
SIZES = {"curated": 500, "train": 2_000, "validation": 1_000, "test": 2_000}


def prepare(
    source: Path,
    out: Path,
    *,
    by: str = "name",
    names: int = NAMES,
    most: int | None = None,
    varied: bool = False,
    share: float = 0.5,
    sizes: dict[str, int] = SIZES,
    seed: int = 0,
) -> dict[str, int]:
    """Write pool, curated set and evaluation set into a folder, whole.

    Args:
        source: the folder with the pool's shards, *.tar.
        out: the folder; what was there is replaced.
        by: what a drawing is called by, `name` or `set`.
        names: how many, the commonest.
        most: drawings with one of them, at most; others are left out by chance.
        varied: whether captions stay as they are, or become names.
        share: of the pool's captions that are shuffled.
        sizes: samples that are drawn first; the pool is the rest.
        seed: of all draws.

    Returns:
        Samples by set, and how many of the pool's are wrong pairs.
    """
    drawings = list(called(source, CALLED[by], names, varied))
    if most is not None:
        drawings = [drawings[number] for number in sampled_rows(len(drawings), most, seed)]
    if len(drawings) <= sum(sizes.values()):
        raise SystemExit(
            f"{source}: {len(drawings):,} drawings have one of the {names} commonest names, and {sum(sizes.values()):,} are set aside: give more --names, or a higher --most"
        )
    parts, pool = divide(drawings, sizes, seed)
    labelled = [one for split, part in parts.items() if split != "curated" for one in part]
    if lacking := names_of(drawings).keys() - names_of(labelled).keys():
        raise SystemExit(
            f"{source}: no drawing of {len(lacking):,} names is among those that are set aside: give fewer --names"
        )
    with atomic_directory(out) as folder:
        wrong = write_pool(pool, folder, share, seed)
        write_shards(parts.pop("curated"), folder / "curated")
        write_root(parts, folder / "evaluation", name_of, ["{c}"])
    return {"pool": len(pool), **sizes, "mismatched": wrong}


def called(source: Path, by: Name, names: int, varied: bool) -> Iterator[Sample]:
    """Yield the drawings with one of the commonest names; the json says which, and its number."""
    shards = expand_shards(str(source / "*.tar"), "--source")
    counts = Counter(map(by, read_samples(shards)))
    numbers = {name: number for number, (name, _) in enumerate(counts.most_common(names))}
    for sample in read_samples(shards):
        name = by(sample)
        if name in numbers:
            kept = sample.parts if varied else sample.parts | {"txt": name.encode()}
            record = record_of(sample) | {"label": numbers[name], "name": name, "caption_name": name}
            yield replace(sample, parts=kept | {"json": json.dumps(record).encode()})


def own_name(sample: Sample) -> str:
    """Return a drawing's name."""
    return concept_of(sample.parts["txt"].decode().strip(), STYLE)


def set_name(sample: Sample) -> str:
    """Return the name of the icon set that a drawing is from, in words."""
    return str(record_of(sample)["set"]).replace("-", " ")


CALLED: dict[str, Name] = {"name": own_name, "set": set_name}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default=SOURCE, metavar="FOLDER", help="with the pool's shards of icons")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FOLDER")
    parser.add_argument("--by", choices=CALLED, default="name", help="what a drawing is called by")
    parser.add_argument("--names", type=int, default=NAMES)
    parser.add_argument("--most", type=int, metavar="N", help="drawings in all")
    parser.add_argument("--varied", action="store_true", help="captions as the designers wrote them")
    parser.add_argument("--share", type=float, default=0.5, help="of the pool's captions that are exchanged")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.varied and options.by == "set":
        parser.error("--varied: captions as designers wrote them don't name the set")
    found = prepare(**vars(options))
    print(f"{options.out}: " + ", ".join(f"{what} {count:,}" for what, count in found.items()))
    print("next: kedro run --pipeline=jest --env=names")


if __name__ == "__main__":
    main()
