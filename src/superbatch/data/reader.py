"""Read images by row: from the shards, or from a packed array of small images.

A view is deterministic and the same in training and evaluation: the centre square of the image, resized to S x S
(bicubic, antialiased).

Legend: N rows, S image size in pixels.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from superbatch.artifacts.atomic import atomic_directory, write_json
from superbatch.artifacts.scratch import new_npy
from superbatch.data.decode import DecodeError, decode
from superbatch.data.manifest import DIGEST, Manifest
from superbatch.data.objects import ObjectShards, Part
from superbatch.errors import UserError
from superbatch.files import read_json
from superbatch.jobs.blocks import folder_of_blocks, make_blocks
from superbatch.options.jobs import JobsSettings
from superbatch.stores.address import Known, Place
from superbatch.stores.cache import ShardCache, cache_in_use

MAX_OPEN_SHARDS = 256
CHECK_EVERY = 16  # one row in this many has its checksum verified whenever it is read
VERIFY = "`kedro run --pipelines=verify` looks at every image"
ROWS_PER_TASK = 2_048


class Pixels(Protocol):
    """Interface of whatever reads images by row."""

    image_size: int

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return uint8 images of shape (n, 3, S, S)."""
        ...


def centre_square(image_HW3: np.ndarray, size: int) -> np.ndarray:
    """Cut the centre square out of an image, uint8 (height, width, 3), and resize it to (size, size, 3)."""
    height, width = image_HW3.shape[:2]
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    if side == size and left.is_integer() and top.is_integer():  # nothing to resample: same pixels, less time
        return image_HW3[int(top) : int(top) + side, int(left) : int(left) + side]
    square = Image.fromarray(image_HW3).resize(
        (size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
    )
    return np.asarray(square)


def unreadable(path: Place, error: OSError, verb: str) -> UserError:
    """Return the error of a shard that can't be opened or read.

    A relative path counts from where the set was ingested; where nothing lies there, the shard may not be what is missing.
    """
    remedy = "put the shard back, or run the ingest stage again"
    if not (isinstance(error, FileNotFoundError) and isinstance(path, Path)) or path.is_absolute():
        return UserError(str(path), f"can't be {verb} ({error.strerror})", remedy)
    what = f"can't be {verb} ({error.strerror} in {Path.cwd()})"
    return UserError(str(path), what, f"work in the folder where the set was ingested; if this is it, {remedy}")


class ShardFiles:
    """Open shards, the least recently used closed first; each process opens its own. Those in a store are read through the cache.

    Args:
        manifest: the set.
        cache: for shards in a store; the one in use by default.
    """

    def __init__(self, manifest: Manifest, cache: ShardCache | None = None) -> None:
        self._manifest = manifest
        self._open: OrderedDict[str, int] = OrderedDict()
        self.far = ObjectShards(manifest.objects, cache or cache_in_use()) if manifest.objects else None

    def read(self, shard: str, offset: int, length: int) -> bytes:
        """Return bytes of a shard; `pread` moves no position, so forked processes may share the descriptor."""
        if self.far is not None and shard in self.far:
            return self.far.read([(shard, offset, length)])[0]
        return os.pread(self._descriptor(shard), length, offset)

    def read_far(self, parts: Iterable[Part]) -> Iterator[bytes | None]:
        """Yield bytes of the shards that lie in a store, many at a time; None for each part of a file of this machine."""
        return repeat(None) if self.far is None else self.far.read_all(parts)

    def _descriptor(self, shard: str) -> int:
        if shard not in self._open:
            if len(self._open) >= MAX_OPEN_SHARDS:
                os.close(self._open.popitem(last=False)[1])
            self._open[shard] = self._open_checked(shard)
        self._open.move_to_end(shard)
        return self._open[shard]

    def _open_checked(self, shard: str) -> int:
        path = self._manifest.shard_path(shard)
        try:
            descriptor = os.open(str(path), os.O_RDONLY)
        except OSError as error:
            raise unreadable(path, error, "opened") from None
        size, known = os.fstat(descriptor).st_size, self._manifest.shard_sizes.get(shard)
        if known is not None and size != known:
            os.close(descriptor)
            raise UserError(
                str(path), f"has {size:,} bytes, at ingestion it had {known:,}", "run the ingest stage again"
            )
        return descriptor

    def __reduce__(self) -> tuple[type[ShardFiles], tuple[Manifest, ShardCache | None]]:
        return ShardFiles, (self._manifest, self.cache)

    @property
    def cache(self) -> ShardCache | None:
        """What shards in a store are read through; it goes with the reader to other processes."""
        return None if self.far is None else self.far.cache

    def __del__(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)


class ImageReader:
    """Reads and decodes images of a manifest's rows: one `pread` an image, or as `ObjectShards` reads those in a store.

    One row in CHECK_EVERY is compared with its checksum on the way, so that shards that were exchanged don't go unseen.

    Args:
        manifest: the set.
        image_size: S.
        cache: for shards in a store; the one in use by default.
    """

    def __init__(self, manifest: Manifest, image_size: int, cache: ShardCache | None = None) -> None:
        self.manifest, self.image_size = manifest, image_size
        self._names = list(manifest.shard_sizes)
        self._places, self._digests = manifest.places, manifest.digests
        self._files = ShardFiles(manifest, cache)

    def __reduce__(self) -> tuple[type[ImageReader], tuple[Manifest, int, ShardCache | None]]:
        return ImageReader, (self.manifest, self.image_size, self._files.cache)

    def __len__(self) -> int:
        return self.manifest.num_rows

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the views of some rows, uint8 (n, 3, S, S).

        Raises:
            UserError: an image that can't be read or decoded, named by shard and key.
        """
        size = self.image_size
        images = np.empty((len(rows), 3, size, size), np.uint8)
        numbers = np.asarray(rows).tolist()
        for i, (row, data) in enumerate(zip(numbers, self._files.read_far(map(self._part, numbers)), strict=False)):
            images[i] = self._view(row, data).transpose(2, 0, 1)
        return images

    def objects(self, rows: np.ndarray | None = None) -> list[Known]:
        """Return the shards in a store that hold some rows, in order of their names in the manifest; of all rows by default."""
        objects = self.manifest.objects
        if not objects or rows is None:
            return list(objects.values())
        names = [self._names[shard] for shard in np.unique(self._places["shard"][rows])]
        return [objects[name] for name in names if name in objects]

    def read_bytes(self, row: int, read: bytes | None = None) -> bytes:
        """Return an image's file as it is in its shard.

        Args:
            row: its number.
            read: these bytes, where they have been read.

        Raises:
            UserError: it is not the one that was ingested.
        """
        data = self._files.read(*self._part(row)) if read is None else read
        if row % CHECK_EVERY == 0 and self._digests is not None and not _has_digest(data, self._digests[row]):
            raise exchanged(self.manifest, row)
        return data

    def _part(self, row: int) -> Part:
        offset, length, shard = self._places[row].item()
        return self._names[shard], offset, length

    def _view(self, row: int, read: bytes | None) -> np.ndarray:
        try:
            # Ingestion has already applied its pixel limit, so none is needed here.
            image = decode(self.read_bytes(row, read), self.image_size, max_pixels=1 << 62)
            return centre_square(image, self.image_size)
        except (DecodeError, OSError) as error:
            detail = error.detail if isinstance(error, DecodeError) else str(error)
            what = f"the image can't be read ({detail})"
            raise UserError(
                _where(self.manifest, row), what, "if the shard changed, run the ingest stage again"
            ) from None


def exchanged(manifest: Manifest, row: int, more: str = "") -> UserError:
    """Return the error for a row whose image is not the one that was ingested.

    Args:
        manifest: the set.
        row: its number.
        more: what else is known; how to find out by default.
    """
    what = f"the image is not the one that was ingested (its checksum differs); {more or VERIFY}"
    return UserError(_where(manifest, row), what, "put the shard back, or touch it and run the ingest stage again")


def _where(manifest: Manifest, row: int) -> str:
    shard = manifest.shard_path(list(manifest.shard_sizes)[manifest.places[row]["shard"]])
    return f"{shard}, key {manifest.column('key')[row].as_py()}"


def _has_digest(data: bytes, digest: np.void) -> bool:
    return hashlib.sha256(data).digest()[: DIGEST.itemsize] == digest.tobytes()


def pack_pixels(
    reader: ImageReader, out: Path, jobs: int | JobsSettings = 1, kept: Path | None = None
) -> dict[str, Any]:
    """Decode every row once into one array, for sets of small images that fit on disk as pixels.

    Args:
        reader: the set and its image size.
        out: a directory; `pixels.npy` uint8 (N, 3, S, S) and `pixels.json` are written to it.
        jobs: processes that decode, or by which back end it is done.
        kept: a folder of this set's own that keeps blocks of rows, so that decoding that was killed goes on; remove it when all is done.

    Returns:
        What `pixels.json` holds.

    Raises:
        DiskFull: no room for the array there.
    """
    rows, size, jobs = len(reader), reader.image_size, JobsSettings.of(jobs)
    facts = {"manifest": reader.manifest.fingerprint, "image_size": size, "rows": rows}
    with atomic_directory(Path(out)) as folder, folder_of_blocks(kept, folder) as files:
        what, make = f"pixels-{size}", _Decode(reader)
        blocks = make_blocks(make, rows, ROWS_PER_TASK, files, jobs, what=what, description="pack pixels")
        pixels = new_npy(folder / "pixels.npy", np.uint8, (rows, 3, size, size))
        for block in blocks:
            (pixels[block.start : block.end],) = block.read()
        pixels.flush()
        write_json(folder / "pixels.json", facts)
    return facts


@dataclass(frozen=True)
class _Decode:
    reader: ImageReader

    def __call__(self, start: int, end: int) -> tuple[np.ndarray]:
        return (self.reader.read(np.arange(start, end)),)


class PackedPixels:
    """Read images by row from the array of `pack_pixels`: the same `read` as ImageReader, without decoding.

    Args:
        directory: what `pack_pixels` wrote.
        expected_manifest: the fingerprint of the manifest in use; None takes any.

    Raises:
        UserError: a missing directory, or the pixels of another manifest.
    """

    def __init__(self, directory: Path, expected_manifest: str | None = None) -> None:
        self.directory, self.expected_manifest = Path(directory), expected_manifest
        facts = read_json(self.directory / "pixels.json")
        if expected_manifest is not None and facts["manifest"] != expected_manifest:
            what = f"belongs to manifest {facts['manifest']}, this run reads {expected_manifest}"
            raise UserError(str(directory), what, "run the stage that packs pixels again")
        self.image_size = int(facts["image_size"])
        self.pixels_N: np.ndarray = np.load(self.directory / "pixels.npy", mmap_mode="r")

    def __reduce__(self) -> tuple[type[PackedPixels], tuple[Path, str | None]]:
        return PackedPixels, (self.directory, self.expected_manifest)

    def __len__(self) -> int:
        return len(self.pixels_N)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the views of some rows, uint8 (n, 3, S, S)."""
        return np.asarray(self.pixels_N[np.asarray(rows, np.int64)])
