"""Scores of a pool's rows, each a column: captions, images, duplicates, clusters, leakage. What they decide is `curation.decide`'s.

Legend: N rows of the pool, n some of them, S image side.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from superbatch.artifacts.atomic import write_json
from superbatch.artifacts.fingerprints import fingerprint
from superbatch.curation.clusters import check_clusters, text_clusters
from superbatch.curation.enlarged import image_numbers
from superbatch.curation.groups import first_equal
from superbatch.curation.images import difference_hash, flatness, grey
from superbatch.curation.leakage import Nearest, Seen, compare, nothing, told
from superbatch.curation.neighbours import by_embedding, by_hash
from superbatch.curation.scores import MANIFEST_KEY, SCORES, SCORES_SCHEMA
from superbatch.curation.texts import how_often, text_scores
from superbatch.data.embeddings import EmbeddingCache
from superbatch.data.manifest import Manifest
from superbatch.data.reader import Pixels
from superbatch.evaluation import EvaluationSet
from superbatch.jobs.blocks import folder_of_blocks, make_blocks
from superbatch.models import ClipModel, load_checkpoint, read_metadata
from superbatch.options import CurateSettings, JobsSettings
from superbatch.tasks.cached import open_cache
from superbatch.tasks.image_embeddings import write_image_embeddings
from superbatch.tasks.sets import SetFiles
from superbatch.tasks.view import View, open_pixels, preprocessing, shell

FORMAT = 1  # raised when the same inputs give other scores
LEAKAGE = "leakage.json"  # counts by evaluation set, beside the scores
BLOCK = 4_096  # images that are looked at a time
SEED = 0  # of `draw`
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Curated:
    """A pool to be scored, with what it is scored by.

    Attributes:
        pool: the ingested set with its features. reference: a checkpoint.
        evaluation: sets that the pool must not know.
    """

    pool: SetFiles
    reference: Path
    evaluation: Sequence[EvaluationSet]

    def fingerprint(self, settings: CurateSettings) -> str:
        """Name all that decides the scores."""
        weights, sets = (
            read_metadata(self.reference)["weights_sha256"],
            [s.manifest.fingerprint for s in self.evaluation],
        )
        names = [[one.name, one.split] for one in self.evaluation]
        made_from = [self.pool.manifest().fingerprint, weights, preprocessing(shell(self.reference)), sets, names]
        return fingerprint(["curation", FORMAT, made_from, settings.clusters, settings.hash_bits, settings.near])


def write_scores(
    given: Curated,
    settings: CurateSettings,
    out: Path,
    jobs: int | JobsSettings = 1,
    kept: Path | None = None,
) -> None:
    """Score every row of a pool into a directory: a Parquet of one column a score, and what leaked of evaluation sets.

    Args:
        given, settings: what is scored, and how.
        out: the directory.
        jobs: processes that look at images, or by which back end it is done.
        kept: a folder of this pool's own that keeps blocks of rows that were looked at; remove it when all is done.

    Memory: some numbers a row, the evaluation sets' embeddings, and a block of images or pairs.

    Raises:
        UserError: features of another reference or pool; more clusters than rows.
    """
    assert given.pool.features is not None, "the stage embed fills them"
    manifest = given.pool.manifest()
    check_clusters(settings.clusters, len(manifest), "curate.clusters")
    cache, clip = open_cache(given.pool.features, given.reference, manifest), load_checkpoint(given.reference)
    pixels = open_pixels(View.of(clip), manifest, given.pool.features)
    images = image_scores(pixels, len(manifest), "pool", jobs, kept)
    pool = Seen(manifest, images["hash"], cache.images)
    nearest, leaked = leakage(pool, clip, given.evaluation, settings)
    table = text_scores(_first_captions(manifest))
    columns = {"reference_cosine": cache.pair_scores(), **dict(zip(table.column_names, table.columns, strict=True))}
    columns |= shapes(manifest) | images | duplicates(manifest, images["hash"], cache, settings)
    columns |= clusters(cache, settings.clusters)
    columns |= {"evaluation_file": nearest.same.astype(np.int8), "evaluation_bits": nearest.bits}
    columns |= {"evaluation_cosine": nearest.cosine}
    columns |= {"draw": np.random.default_rng(SEED).random(len(manifest), np.float32)}
    scores = pa.table(columns, SCORES_SCHEMA).replace_schema_metadata({MANIFEST_KEY: manifest.fingerprint})
    pq.write_table(scores, out / SCORES, compression="zstd")
    write_json(out / LEAKAGE, leaked)


def _first_captions(manifest: Manifest) -> Iterator[str]:
    """Yield the caption that each row is trained on, a piece of the file at a time; empty where it has none."""
    for batch in pq.ParquetFile(manifest.path).iter_batches(columns=["captions"]):
        for captions in batch.column(0).to_pylist():
            yield captions[0] if captions else ""


def image_scores(
    pixels: Pixels, count: int, name: str, jobs: int | JobsSettings = 1, kept: Path | None = None
) -> dict[str, np.ndarray]:
    """Score images by their pixels: `flatness` (float32) and `hash` (uint64), (N,) each.

    Args:
        pixels: of the images. count: N. name: for the progress bar.
        jobs, kept: as of `write_scores`.
    """
    with folder_of_blocks(kept) as folder:
        wanted, description = JobsSettings.of(jobs), f"look at {name}"
        blocks = make_blocks(_Look(pixels), count, BLOCK, folder, wanted, what="images", description=description)
        found = [block.read() for block in blocks]
    if not found:
        return {"flatness": np.empty(0, np.float32), "hash": np.empty(0, np.uint64)}
    flat_N, hash_N = (np.concatenate(part) for part in zip(*found, strict=True))
    return {"flatness": flat_N, "hash": hash_N}


@dataclass(frozen=True)
class _Look:
    pixels: Pixels

    def __call__(self, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        grey_nSS = grey(self.pixels.read(np.arange(start, end)))
        return flatness(grey_nSS), difference_hash(grey_nSS)


def shapes(manifest: Manifest) -> dict[str, np.ndarray]:
    """Return `shorter_side` in pixels (int32) and `aspect_ratio`, longer over shorter side (float32), (N,) each."""
    width_N, height_N = (manifest.column(name).to_numpy() for name in ("width", "height"))
    shorter_N, longer_N = np.minimum(width_N, height_N), np.maximum(width_N, height_N)
    return {"shorter_side": shorter_N, "aspect_ratio": (longer_N / shorter_N).astype(np.float32)}


def duplicates(
    manifest: Manifest, hash_N: np.ndarray, cache: EmbeddingCache, settings: CurateSettings
) -> dict[str, np.ndarray]:
    """Group duplicates: by file, by hash, by embedding; each row has the first row of its group, int64 (N,)."""
    first_N, cosine_N = by_embedding(cache.images, len(cache), settings.near)
    found = {"same_file": first_equal(image_numbers(manifest)), "same_hash": by_hash(hash_N, settings.hash_bits)}
    found |= {"same_embedding": first_N}
    for name, group_N in found.items():
        _, sizes = np.unique(group_N, return_counts=True)
        log.info("curation: %s: %s rows repeat another one, %s the largest group", name, f"{len(group_N) - len(sizes):,}", f"{sizes.max():,}")  # fmt: skip
    return found | {"neighbour_cosine": cosine_N}


def clusters(cache: EmbeddingCache, k: int) -> dict[str, np.ndarray]:
    """Cluster captions: `text_cluster`, and how many rows it has, int32 (N,) each."""
    cluster_N = text_clusters(cache, k)
    return {"text_cluster": cluster_N, "text_cluster_rows": how_often(cluster_N)}


def leakage(
    pool: Seen, clip: ClipModel, sets: Sequence[EvaluationSet], settings: CurateSettings
) -> tuple[Nearest, dict[str, Any]]:
    """Compare a pool with evaluation sets: how near each row comes to any of them, and counts by set and split."""
    nearest, found = nothing(len(pool.manifest)), {}
    for one in sets:
        of_rows, of_images = compare(pool, _seen(one, clip, settings))
        nearest = nearest.joined(of_rows)
        counts = told(of_rows, of_images, settings.hash_bits, settings.near)
        found[f"{one.name}/{one.split}"] = counts
        any_, images = counts["leaked"]["any"], counts["images"]
        log.info("curation: %s of the %s images of %s (%s) are in the pool, or nearly the same images; %s are identical files", f"{any_:,}", f"{images:,}", one.name, one.split, f"{counts['leaked']['same_file']:,}")  # fmt: skip
    return nearest, found


def _seen(one: EvaluationSet, clip: ClipModel, settings: CurateSettings) -> Seen:
    """Hash and embed the images of an evaluation set."""
    name, pixels = f"{one.name} {one.split}", open_pixels(View.of(clip), one.manifest, None)
    hashes = image_scores(pixels, one.num_images, name)["hash"]
    with TemporaryDirectory() as scratch:
        mapped_ED = write_image_embeddings(
            clip,
            pixels,
            one.num_images,
            Path(scratch) / "images.npy",
            what=f"embed {name}",
            batch=settings.batch,
            device=settings.device,
        )
        image_ED = np.array(mapped_ED)
    return Seen(one.manifest, hashes, image_ED.__getitem__)
