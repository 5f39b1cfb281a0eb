"""Small simulated crawls, and reading them back with the standard library."""

from __future__ import annotations

import tarfile
from pathlib import Path

from superbatch.options import SimwebSettings

Samples = dict[str, dict[str, bytes]]


def small_settings(**changes: object) -> SimwebSettings:
    """Settings that render in about a second."""
    sizes: dict[str, object] = {
        "pool_pairs": 600,
        "curated_pairs": 200,
        "validation_images_per_class": 1,
        "test_images_per_class": 1,
        "validation_retrieval_images": 20,
        "test_retrieval_images": 30,
        "shard_size": 250,
        "jobs": 1,
    }
    return SimwebSettings(**{**sizes, **changes})  # type: ignore[arg-type]


def read_samples(folder: Path) -> Samples:
    """Read every shard of a folder, in order: key -> extension -> bytes."""
    samples: Samples = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, extension = member.name.split(".", 1)
                stream = tar.extractfile(member)
                assert stream is not None
                samples.setdefault(key, {})[extension] = stream.read()
    return samples


def image_bytes(sample: dict[str, bytes]) -> bytes:
    """Return a sample's image, whichever its format."""
    return sample["png"] if "png" in sample else sample["jpg"]
