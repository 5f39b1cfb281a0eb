"""Scores of a pool's rows, each a column: captions, images, duplicates, clusters, leakage. What they decide is `curation.decide`'s.

Legend: N rows of the pool, n some of them, S image side.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from superbatch.artifacts.atomic import write_json
from superbatch.artifacts.fingerprints import fingerprint
from superbatch.artifacts.scratch import PIECE, pieces, scratch
from superbatch.curation.clusters import check_clusters, text_clusters
from superbatch.curation.dealt import first_equal, how_often
from superbatch.curation.images import difference_hash, flatness, grey
from superbatch.curation.leakage import Nearest, Seen, compare, nothing, told
from superbatch.curation.neighbours import by_embedding, by_hash
from superbatch.curation.scores import MANIFEST_KEY, SCORES, SCORES_SCHEMA
from superbatch.curation.texts import Words, text_scores
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
BLOCK = 4_096  # images processed at a time
SEED = 0  # of `draw`
Column = np.ndarray | Words
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

    Memory: the evaluation sets' embeddings, a block of images or pairs, and pieces of columns, which lie on disk where rows are many.

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
    columns: dict[str, Column] = {"reference_cosine": cache.pair_scores()}
    columns |= text_scores(_first_captions(manifest), len(manifest))
    columns |= shapes(manifest) | images | duplicates(manifest, images["hash"], cache, settings)
    columns |= clusters(cache, settings.clusters)
    columns |= {"evaluation_file": nearest.same.view(np.int8), "evaluation_bits": nearest.bits}
    columns |= {"evaluation_cosine": nearest.cosine, "draw": draws(len(manifest))}
    write_columns(out / SCORES, columns, len(manifest), manifest.fingerprint)
    write_json(out / LEAKAGE, leaked)


def write_columns(path: Path, columns: Mapping[str, Column], rows: int, pool: str) -> None:
    """Write scores of rows, a piece of them at a time.

    Args:
        columns: by name, of `SCORES_SCHEMA`. rows: N. pool: the fingerprint of its manifest.
    """
    schema = SCORES_SCHEMA.with_metadata({MANIFEST_KEY: pool})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for piece in pieces(rows) if rows else [slice(0, 0)]:
            writer.write_table(pa.table({name: column[piece] for name, column in columns.items()}, schema))


def draws(rows: int) -> np.ndarray:
    """Return a random number from 0 to 1 for each row, the same each time, float32 (N,)."""
    found, rng = scratch(rows, np.float32), np.random.default_rng(SEED)
    for piece in pieces(rows):
        found[piece] = rng.random(piece.stop - piece.start, np.float32)
    return found


def _first_captions(manifest: Manifest) -> Iterator[str]:
    """Yield the caption that each row is trained on, a piece of the file at a time; empty where it has none."""
    for batch in manifest.batches(["captions"]):
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
        flat_N, hash_N = scratch(count, np.float32), scratch(count, np.uint64)
        for block in blocks:
            flat_N[block.start : block.end], hash_N[block.start : block.end] = block.read()
    return {"flatness": flat_N, "hash": hash_N}


@dataclass(frozen=True)
class _Look:
    pixels: Pixels

    def __call__(self, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        grey_nSS = grey(self.pixels.read(np.arange(start, end)))
        return flatness(grey_nSS), difference_hash(grey_nSS)


def shapes(manifest: Manifest) -> dict[str, np.ndarray]:
    """Return `shorter_side` in pixels (int32) and `aspect_ratio`, longer over shorter side (float32), (N,) each."""
    shorter_N, ratio_N, start = scratch(len(manifest), np.int32), scratch(len(manifest), np.float32), 0
    for batch in manifest.batches(["width", "height"]):
        width_n, height_n = (column.to_numpy() for column in batch.columns)
        piece, shorter_n = slice(start, start + len(batch)), np.minimum(width_n, height_n)
        shorter_N[piece], ratio_N[piece] = shorter_n, np.maximum(width_n, height_n) / shorter_n
        start = piece.stop
    return {"shorter_side": shorter_N, "aspect_ratio": ratio_N}


def duplicates(
    manifest: Manifest, hash_N: np.ndarray, cache: EmbeddingCache, settings: CurateSettings
) -> dict[str, np.ndarray]:
    """Group duplicates: by file, by hash, by embedding; each row has the first row of its group, int64 (N,)."""
    first_N, cosine_N = by_embedding(cache.images, len(cache), settings.near)
    found = {
        "same_file": first_equal(image_digests(manifest), len(manifest)),
        "same_hash": by_hash(hash_N, settings.hash_bits),
    }
    found |= {"same_embedding": first_N}
    for name, group_N in found.items():
        again, largest = repeats(group_N)
        log.info("curation: %s: %s rows repeat another one, %s the largest group", name, f"{again:,}", f"{largest:,}")
    return found | {"neighbour_cosine": cosine_N}


def image_digests(manifest: Manifest) -> Iterator[np.ndarray]:
    """Read the SHA-256 of each row's image, S32, some rows at a time."""
    for batch in manifest.batches(["sha256"], PIECE):
        column = batch.column(0)
        yield np.frombuffer(column.buffers()[1], "S32", len(column), 32 * column.offset)


def repeats(group_N: np.ndarray) -> tuple[int, int]:
    """Return how many rows repeat another one, and how many the largest group has; a group goes by its first row, int64 (N,)."""
    again = sum(int((group_N[piece] != np.arange(piece.start, piece.stop)).sum()) for piece in pieces(len(group_N)))
    often_N = how_often(group_N)
    return again, max((int(often_N[piece].max()) for piece in pieces(len(group_N))), default=0)


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
