"""Shards of made-up photos: noise of all scales, as many bytes a JPEG as real photos of that size have, and captions of many words.

Nothing is downloaded, and the same seed gives the same bytes.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

SHORT, LONG = 256, (256, 420)  # sides in pixels, as img2dataset leaves them
PER_SHARD = 512
WORDS = 3_000


def photo(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Draw one picture, uint8 (height, width, 3): octaves of smooth noise, and a little grain."""
    canvas = rng.normal(0, 9, (height, width, 3)).astype(np.float32) + 120
    for octave in range(1, 8):
        coarse = rng.normal(0, 90 / 1.6**octave, (2**octave, 2**octave, 3)).astype(np.float32)
        for channel in range(3):
            layer = Image.fromarray(coarse[..., channel]).resize((width, height), Image.Resampling.BICUBIC)
            canvas[..., channel] += np.asarray(layer)
    return canvas.clip(0, 255).astype(np.uint8)


def write_shards(folder: Path, distinct: int, samples: int, seed: int) -> list[Path]:
    """Write `samples` pairs as WebDataset shards; `distinct` different pictures take turns."""
    rng = np.random.default_rng(seed)
    files = []
    for _ in range(distinct):
        sides = SHORT, int(rng.integers(*LONG))
        height, width = sides if rng.random() < 0.7 else sides[::-1]
        files.append(simplejpeg.encode_jpeg(photo(rng, height, width), quality=92, colorsubsampling="420"))
    words = ["".join(rng.choice(list("abcdefghiklmnoprstuvw"), rng.integers(3, 9))) for _ in range(WORDS)]
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:05d}.tar" for number in range(-(-samples // PER_SHARD))]
    for number, path in enumerate(paths):
        with tarfile.open(path, "w") as tar:
            for i in range(number * PER_SHARD, min((number + 1) * PER_SHARD, samples)):
                caption = " ".join(rng.choice(words, rng.integers(5, 14)))
                for kind, data in (
                    ("jpg", files[i % distinct]),
                    ("txt", caption.encode()),
                    ("json", json.dumps({"number": i}).encode()),
                ):
                    info = tarfile.TarInfo(f"{i:08d}.{kind}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return paths
