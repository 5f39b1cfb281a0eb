"""Tiny hand-made shards in CLIP_benchmark's layout, and the configuration of a tiny model."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 16
CLASSNAMES = ["red", "green", "blue", "grey"]
TEMPLATES = ["a {c} picture", "{c}", "the colour {c}"]
CONFIG = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": SIDE, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8},
        "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.3, 0.4, 0.5]},
}
Sample = tuple[str, dict[str, str]]  # key, members by extension


def picture(seed: int) -> Image.Image:
    """A picture of noise around one of four colours."""
    rng = np.random.default_rng(seed)
    colour = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (120, 120, 120)][seed % 4]
    return Image.fromarray((np.array(colour) + rng.integers(-39, 39, (SIDE, SIDE, 3))).astype(np.uint8))


def write_shard(path: Path, samples: list[Sample], first: int = 0) -> None:
    """Write samples with a picture each, as webdataset lays them out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for number, (key, members) in enumerate(samples, start=first):
            stream = io.BytesIO()
            picture(number).save(stream, "PNG")
            for extension, data in {"png": stream.getvalue(), **{k: v.encode() for k, v in members.items()}}.items():
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def write_split(root: Path, split: str, samples: list[Sample], shards: int = 2) -> list[Path]:
    """Write a split in CLIP_benchmark's layout; returns its shards."""
    parts = np.array_split(np.arange(len(samples)), shards)
    for number, part in enumerate(parts):
        write_shard(root / split / f"{number}.tar", [samples[i] for i in part], first=int(part[0]) if len(part) else 0)
    (root / split / "nshards.txt").write_text(f"{shards}\n")
    return [root / split / f"{number}.tar" for number in range(shards)]


def classification_samples(count: int) -> list[Sample]:
    """Samples of four classes in turn."""
    return [(f"{i:04d}", {"cls": str(i % 4), "txt": CLASSNAMES[i % 4]}) for i in range(count)]


def retrieval_samples(count: int, captions: int) -> list[Sample]:
    """Samples with several captions each, one a line."""
    return [
        (f"{i:04d}", {"txt": "\n".join(f"{CLASSNAMES[i % 4]} number {i} form {j}" for j in range(captions))})
        for i in range(count)
    ]


def write_classification_root(root: Path) -> Path:
    """Write what lies beside the splits of a classification set."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset_type.txt").write_text("classification\n")
    (root / "classnames.txt").write_text("\n".join(CLASSNAMES) + "\n")
    (root / "zeroshot_classification_templates.txt").write_text("\n".join(TEMPLATES) + "\n")
    return root
