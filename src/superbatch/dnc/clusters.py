"""A division as files: each row's cluster, what is to be said of it, and a gallery of pictures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from superbatch.artifacts.atomic import write_json
from superbatch.artifacts.fingerprints import fingerprint
from superbatch.data.manifest import Manifest
from superbatch.data.reader import Pixels
from superbatch.dnc.divide import Division, divide
from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.models import load_checkpoint, read_metadata
from superbatch.models.cost import count_forward
from superbatch.tasks.image_embeddings import write_image_embeddings
from superbatch.tasks.sets import SetFiles
from superbatch.tasks.view import View, open_pixels

CLUSTERS, ABOUT, GALLERY = "clusters.npy", "clusters.json", "gallery.png"
COLUMNS = 20  # pictures of a cluster
SEED = 0  # of the pictures that are shown


def clusters_fingerprint(base_dir: Path, manifest: Manifest) -> str:
    """Name what a division is of: a base and a set."""
    return fingerprint(["clusters", read_metadata(base_dir)["weights_sha256"], manifest.fingerprint])


def write_clusters(
    base_dir: Path, pool: SetFiles, numbers: tuple[int, ...], least: int, out: Path, *, batch: int, device: str
) -> Division:
    """Represent a pool by a base, divide it, and write the division down.

    Args:
        base_dir: the base's checkpoint.
        pool: the ingested set, its packed pixels if there are any.
        numbers, least: as of `divide`.
        out: the directory to fill.
        batch: images a forward pass. device: where the base runs.
    """
    start, manifest, clip = time.perf_counter(), pool.manifest(), load_checkpoint(base_dir)
    pixels, file = open_pixels(View.of(clip), manifest, pool.features), out / "representations.npy"
    found = write_image_embeddings(clip, pixels, len(manifest), file, what="represent pool", batch=batch, device=device)
    division = divide(found.__getitem__, len(manifest), numbers, least)
    np.save(out / CLUSTERS, division.cluster_N)
    write_gallery(pixels, division.cluster_N, out / GALLERY)
    file.unlink()
    about: dict[str, Any] = {
        "fingerprint": clusters_fingerprint(base_dir, manifest),
        "base": read_metadata(base_dir)["weights_sha256"],
        "manifest": manifest.fingerprint,
        "rows": len(manifest),
        "asked": division.asked,
        "clusters": len(division.sizes),
        "joined": division.joined,
        "sizes": division.sizes,
        "silhouettes": {str(k): value for k, value in division.silhouettes.items()},
        "flops": count_forward(clip).image * len(manifest),
        "seconds": round(time.perf_counter() - start, 3),
    }
    write_json(out / ABOUT, about)
    return division


def open_clusters(directory: Path, base_dir: Path, manifest: Manifest) -> np.ndarray:
    """Open each row's cluster, int32 (N,), memory-mapped.

    Raises:
        UserError: no clusters there, or those of another base or set.
    """
    if not (directory / ABOUT).is_file():
        raise UserError(str(directory), "no clusters were found", "run `kedro run --pipeline=dnc` again")
    if read_json(directory / ABOUT)["fingerprint"] != clusters_fingerprint(base_dir, manifest):
        raise UserError(str(directory), "has clusters of another base or pool", "run `kedro run --pipeline=dnc` again")
    found: np.ndarray = np.load(directory / CLUSTERS, mmap_mode="r")
    return found


def write_gallery(pixels: Pixels, cluster_N: np.ndarray, file: Path) -> None:
    """Draw some pictures of each cluster, a row each in order of size, drawn at random by a constant seed."""
    from PIL import Image

    side, rng = pixels.image_size, np.random.default_rng(SEED)
    sheet = np.full((int(cluster_N.max()) + 1, side, COLUMNS * side, 3), 255, np.uint8)
    for number, row in enumerate(sheet):
        rows = np.flatnonzero(cluster_N == number)
        shown = np.sort(rng.choice(rows, min(COLUMNS, len(rows)), replace=False))
        strip = pixels.read(shown).transpose(2, 0, 3, 1).reshape(side, -1, 3)  # (n, 3, S, S) side by side
        row[:, : strip.shape[1]] = strip
    Image.fromarray(sheet.reshape(-1, COLUMNS * side, 3)).save(file)
