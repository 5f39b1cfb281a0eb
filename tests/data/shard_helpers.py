"""Small shards made to order."""

from __future__ import annotations

import io
import tarfile

import numpy as np
from PIL import Image

Members = list[tuple[str, bytes]]


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def noise(seed: int = 0, width: int = 8, height: int = 8) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def pairs(count: int, first: int = 0) -> Members:
    """Whole samples: png, txt, json."""
    members: Members = []
    for i in range(first, first + count):
        key = f"{i:05d}"
        members += [
            (f"{key}.png", encode(noise(i))),
            (f"{key}.txt", f"picture {i}".encode()),
            (f"{key}.json", f'{{"uid": {i}}}'.encode()),
        ]
    return members


def tar_bytes(members: Members, form: int = tarfile.USTAR_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()
