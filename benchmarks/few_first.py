"""Few rows first (`narrow_first`): does it matter which? They join at random, name by name, or by what a reference finds easy.

    python benchmarks/few_first.py [--quick] [--json FILE] [--threads N] [--seed N] [--data FOLDER] [--env ENVIRONMENT]
                                   [--orders ORDER ...] [--steps T] [--learning-rate RATE] [--probe]

An ORDER is how rows join:
    rows        at random, one by one (the preset itself)
    captions    at random, all rows of a caption together
    concepts    the same of what a caption says without the words of style at its end (`outline`, `bold`, ...: `icons.concepts`)
    words       the same of its first word
    rarity      those first whose captions have few words and common ones (`training.first_by: rarity`; equal ones in the pool's order)
    FOLDER      those first that a reference finds easy: the folder with its embeddings of the pool (04_feature/pool)
    classes     an oracle, which knows what will be asked: the rows whose concept is a class of the evaluation, and no others, from the start

Without --probe a learner is trained by each order and measured on the test split. With it nothing is trained: of the rows that come first, and of as
many rows by chance, a ridge regression from pixels to words says how well pictures tell names, R@1 among 64: `inside` for rows of the same kind that it
has not seen, `outside` for any rows of the pool. FOLDER of --data holds 02_intermediate and 04_feature; what is trained stays in FOLDER/few_first.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import common
import numpy as np
import torch
from reference_map_sets import quick_sets

from superbatch.config import learner_settings
from superbatch.data.embeddings import EmbeddingCache, embeddings_file
from superbatch.data.joining import rarity
from superbatch.data.manifest import Manifest, read_manifest
from superbatch.data.order import places_of_joining
from superbatch.data.reader import ImageReader, PackedPixels
from superbatch.evaluation.store import load_evaluation_sets
from superbatch.icons.concepts import ALWAYS_STYLE, SOMETIMES_STYLE, StyleWords, concept_of
from superbatch.models import load_checkpoint
from superbatch.nested import merge
from superbatch.tasks.jobs import Directories, build_learner, make_evaluate
from superbatch.training import train_once
from superbatch.training.job import Job

METHOD = "narrow_first"
ORDERS = ("rows", "captions", "concepts", "words", "rarity")
ORACLE = "classes"
STYLE = StyleWords(leading=frozenset(), trailing=ALWAYS_STYLE | SOMETIMES_STYLE)
METRICS = {
    "top-1": ("classification/top1",),
    "R@1": ("retrieval/image_to_text_r1", "retrieval/text_to_image_r1"),
    "R@10": ("retrieval/image_to_text_r10", "retrieval/text_to_image_r10"),
}  # means
SIDE, HIDDEN, WORDS, RIDGE, AMONG = 16, 1_500, 1_024, 300.0, 64  # of the probe
ASKED = 3_200  # rows of the pool that it is tested on


def main() -> None:
    """Train by each order, or probe what comes first, and print the table and the line of JSON."""
    options = arguments()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder = quick_world(options, Path(scratch)) if options.quick else options.data
        pool = read_manifest(folder / "02_intermediate" / "pool")
        keys = {order: joining(order, pool, folder, options.seed) for order in options.orders}
        if options.probe:
            rows = probed(pool, folder, keys, options)
        else:
            rows = [trained(folder, name, key_N, options) for name, key_N in keys.items()]
    header = ["first come", *(f"{name} %" for name in rows[0] if name != "order")]
    shown = [[one["order"], *(f"{100 * value:.1f}" for name, value in one.items() if name != "order")] for one in rows]
    print(common.table(header, shown))
    common.report("few_first", {"steps": None if options.probe else options.steps, "rows": rows}, options)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    made = common.parser(__doc__.splitlines()[0])
    made.add_argument("--data", type=Path, default=Path("data"), metavar="FOLDER", help="holds 02_intermediate")
    made.add_argument("--env", metavar="ENVIRONMENT", help="whose settings hold, such as icons")
    made.add_argument("--orders", nargs="+", default=list(ORDERS), metavar="ORDER")
    made.add_argument("--steps", type=int, default=8_000, help="of the learners")
    made.add_argument("--learning-rate", type=float, metavar="RATE", help="in the place of the settings'")
    made.add_argument("--probe", action="store_true", help="train nothing")
    options = made.parse_args()
    if options.quick:
        options.steps, options.orders = 8, ["rows", "captions"]
    return options


def quick_world(options: argparse.Namespace, work: Path) -> Path:
    """Make small sets in the layout of a project's data."""
    options.env = "quick"
    sets = work / "02_intermediate"
    sets.mkdir()
    made = quick_sets(common.parameters("quick")["simweb"], work / "made")
    for name, place in zip(("pool", "curated", "evaluation"), made, strict=True):
        (sets / name).symlink_to(place.resolve())
    return work


def joining(order: str, pool: Manifest, folder: Path, seed: int) -> np.ndarray | None:
    """Return a key of each row, (N,): those of the lowest join first, and rows of one key together; None for the preset's own order."""
    groups: dict[str, Callable[[str], str]] = {
        "captions": lambda caption: caption,
        "concepts": lambda caption: concept_of(caption, STYLE),
        "words": lambda caption: caption.split(" ", 1)[0],
    }
    if order == "rows":
        return None
    if order == ORACLE:
        concept = groups["concepts"]
        asked = {concept(name.lower()) for name in classes(folder)}
        return np.array([concept(caption.lower()) not in asked for caption in pool.first_captions()])
    if order == "rarity":
        return rarity([pool])
    if order not in groups:
        return -EmbeddingCache(Path(order) / embeddings_file()).pair_scores()
    name = groups[order]
    return np.array([drawn(name(caption.lower()), seed) for caption in pool.first_captions()])


def classes(folder: Path) -> tuple[str, ...]:
    """The names of the classes that learners will be tested on."""
    sets = load_evaluation_sets(folder / "02_intermediate" / "evaluation", "test")
    return next(one.classnames for one in sets if one.classnames)


def drawn(name: str, seed: int) -> int:
    """A number of a name, at random by the seed."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {name}".encode(), digest_size=7).digest())


def trained(folder: Path, order: str, key_N: np.ndarray | None, options: argparse.Namespace) -> dict[str, Any]:
    """Train a learner whose rows join in an order, and measure it on the test split."""
    given, sets, models = common.parameters(options.env), folder / "02_intermediate", folder / "06_models"
    own = {"training": training_of(order, options)}
    settings = learner_settings(given["learner"], merge(given[METHOD]["learner"], own), METHOD)
    features, work = folder / "04_feature", folder / "few_first"
    reference = (models / "reference", folder / "07_model_output" / "reference" / "training")
    places = Directories(
        sets / "pool",
        features / "pool",
        sets / "curated",
        features / "curated",
        *reference,
        sets / "evaluation",
        work / "state",
    )
    job = build_learner(f"{METHOD} {order}", settings, places)
    arrange = without_others if order == ORACLE else joined
    model = train_once(job if key_N is None else arrange(job, order, key_N), work / "stages")[0]
    found = make_evaluate(places.evaluation_sets, "test")(load_checkpoint(model.path))
    return {"order": order, **{name: mean(found[metric] for metric in metrics) for name, metrics in METRICS.items()}}


def training_of(order: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return what the settings of a learner's training have of this comparison."""
    made = {
        "steps": options.steps,
        "evaluate_every": max(1, options.steps // 2),
        "seed": options.seed,
        "threads": options.threads,
    }
    if options.learning_rate is not None:
        made["optimizer"] = {"learning_rate": options.learning_rate}
    return made | ({"first_share": 1.0} if order == ORACLE else {})


def without_others(job: Job, order: str, key_N: np.ndarray) -> Job:
    """Let a job draw from the rows of the lowest key alone."""
    rows = np.flatnonzero(key_N == key_N.min())
    marked = job.identity | {"only": [order, hashlib.sha256(rows.tobytes()).hexdigest()]}
    return replace(job, source=replace(job.source, rows=rows), identity=marked)


def joined(job: Job, order: str, key_N: np.ndarray) -> Job:
    """Let a job's rows join by their keys: its order draws places, and here is which row has which."""
    rows_N = np.empty(len(key_N), np.int64)
    rows_N[places_of_joining(len(key_N), job.training.seed)] = np.argsort(key_N, kind="stable")
    marked = job.identity | {"joins": [order, hashlib.sha256(rows_N.tobytes()).hexdigest()]}
    return replace(job, source=replace(job.source, rows=rows_N), identity=marked)


def probed(
    pool: Manifest, folder: Path, keys: dict[str, np.ndarray | None], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Say of the rows that come first how well their pictures tell their names, for rows of the same kind and for any."""
    share = common.parameters(options.env)[METHOD]["learner"]["training"]["first_share"]
    rng, count = np.random.default_rng(options.seed), min(len(pool), max(10 * AMONG, round(share * len(pool))))
    asked = rng.choice(len(pool), min(ASKED, len(pool) // 4 // AMONG * AMONG), replace=False)
    packed = sorted((folder / "04_feature" / "pool").glob("pixels-*"))
    pixels = PackedPixels(packed[0], pool.fingerprint) if packed else ImageReader(pool, 2 * SIDE)
    captions, found = pool.first_captions(), []
    for order, key_N in keys.items():
        ranked = rng.permutation(len(pool)) if key_N is None else np.argsort(key_N, kind="stable")
        first = rng.permutation(ranked[:count])
        rest = first[~np.isin(first, asked)]
        fit, held_out = np.split(rest, [int(0.8 * len(rest))])
        names = {captions[row].lower() for row in first}
        parts = [(pictures(pixels, rows, options.seed), bags(captions, rows)) for rows in (fit, held_out, asked)]
        weights = ridge(*parts[0])
        inside, outside = (recall(part, weights) for part in parts[1:])
        found.append({"order": order, "inside": inside, "outside": outside, "different names": len(names) / count})
    return found


def pictures(pixels: Any, rows: np.ndarray, seed: int) -> np.ndarray:
    """Random features of small grey pictures, (n, HIDDEN + 1)."""
    grey = np.concatenate(
        [pixels.read(rows[at : at + 4_096]).mean(1, np.float32) / 255 for at in range(0, len(rows), 4_096)]
    )
    factor = grey.shape[1] // SIDE
    small = (
        grey[:, : SIDE * factor, : SIDE * factor]
        .reshape(len(rows), SIDE, factor, SIDE, factor)
        .mean((2, 4))
        .reshape(len(rows), -1)
    )
    mixed = np.random.default_rng(seed).standard_normal((SIDE * SIDE, HIDDEN), np.float32) / SIDE
    small = (small - small.mean(0)) / small.std()
    return np.concatenate([np.maximum(small @ mixed, 0), np.ones((len(rows), 1), np.float32)], 1)


def bags(captions: list[str], rows: np.ndarray) -> np.ndarray:
    """The words of captions, hashed, centred and of length 1, (n, WORDS)."""
    found = np.zeros((len(rows), WORDS), np.float32)
    for at, row in enumerate(rows):
        found[at, [drawn(word, 0) % WORDS for word in set(captions[row].lower().split())]] = 1
    found -= found.mean(0)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The weights of a ridge regression, in closed form."""
    weights: np.ndarray = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1], dtype=np.float32), x.T @ y)
    return weights


def recall(part: tuple[np.ndarray, np.ndarray], weights: np.ndarray) -> float:
    """R@1 of a picture's own words among those of AMONG pictures."""
    x, y = part
    told = x @ weights
    starts = range(0, len(x) - AMONG + 1, AMONG)
    hits = [(told[at : at + AMONG] @ y[at : at + AMONG].T).argmax(1) == np.arange(AMONG) for at in starts]
    return float(np.mean(hits))


if __name__ == "__main__":
    main()
