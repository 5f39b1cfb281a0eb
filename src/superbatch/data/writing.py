"""Write samples as WebDataset shards whose bytes depend only on the samples."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

JPEG_QUALITY = 90


@dataclass(frozen=True)
class Sample:
    """One sample of a shard: parts by extension, in img2dataset's layout."""

    key: str
    parts: dict[str, bytes]


def encode_image(picture: NDArray[np.uint8], extension: str, quality: int = JPEG_QUALITY) -> bytes:
    """Encode uint8[H, W, 3] as "png" (lossless) or "jpg"."""
    if extension == "jpg":
        return bytes(
            simplejpeg.encode_jpeg(
                np.ascontiguousarray(picture), quality=quality, colorspace="RGB", colorsubsampling="444"
            )
        )
    assert extension == "png", extension
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def crawl_record(key: str, url: str, image: bytes, image_size: int) -> bytes:
    """Write what a crawler notes about an image, as JSON bytes."""
    record = {
        "key": key,
        "url": url,
        "width": image_size,
        "height": image_size,
        "sha256": hashlib.sha256(image).hexdigest(),
        "status": "success",
    }
    return json.dumps(record, sort_keys=True).encode()


def write_shard(path: Path, samples: Iterable[Sample]) -> None:
    """Write one .tar; owner, mode and time are fixed, so that the same samples give the same bytes."""
    from webdataset.writer import ShardWriter

    fixed: dict[str, Any] = {"encoder": False, "mtime": 0, "user": "superbatch", "group": "superbatch"}
    fixed |= {"maxcount": 2**62, "maxsize": 2**62, "verbose": 0}  # one shard, quietly
    path.parent.mkdir(parents=True, exist_ok=True)
    # the stream is opened here: the writer would take a path with a colon for a URL
    with open(path, "wb") as stream, ShardWriter("%d", opener=lambda _: stream, **fixed) as writer:
        for sample in samples:
            writer.write({"__key__": sample.key, **sample.parts})


def sample_key(number: int, shard_size: int) -> str:
    """Key of a sample: five digits of shard and the rest inside it, as img2dataset numbers them."""
    width = max(4, len(str(shard_size - 1)))
    return f"{number // shard_size:05d}{number % shard_size:0{width}d}"


def write_split(folder: Path, samples: Iterable[Sample]) -> None:
    """Write one split of an evaluation set as CLIP_benchmark has it: `0.tar`, and how many shards there are."""
    write_shard(folder / "0.tar", samples)
    write_lines(folder / "nshards.txt", ["1"])


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write a text file, a line an entry."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
