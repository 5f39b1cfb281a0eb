"""CLIP_benchmark's own figures of a checkpoint on a set in its layout: its reader, open_clip's preprocessing and tokenizer, its metrics.

Nothing of ours is on the way, so that agreement means something. `pip install clip-benchmark` is needed for it alone.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from torch.utils.data import DataLoader, Dataset

OURS = {  # CLIP_benchmark's names -> ours
    "acc1": "top1",
    "acc5": "top5",
    "mean_per_class_recall": "mean_per_class",
    **{f"image_retrieval_recall@{k}": f"text_to_image_r{k}" for k in (1, 5, 10)},
    **{f"text_retrieval_recall@{k}": f"image_to_text_r{k}" for k in (1, 5, 10)},
}


class Samples(Dataset[Any]):
    """A stream's samples in memory, with what CLIP_benchmark asks of a data set beside its samples."""

    def __init__(self, stream: Any) -> None:
        self.samples = list(stream)
        self.classes, self.templates = stream.classes, stream.templates

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> Any:
        return self.samples[number]


def figures(checkpoint: Path, root: Path, split: str, batch: int = 64) -> dict[str, float]:
    """Return CLIP_benchmark's metrics of a split under our names, in fp32 on the CPU; it has no top-5 of fewer than 5 classes.

    Args:
        checkpoint: an open_clip directory.
        root: the set, with dataset_type.txt.
        split: a folder below it, with nshards.txt.
        batch: samples a forward pass.
    """
    from clip_benchmark.datasets.builder import build_dataset, image_captions_collate_fn
    from clip_benchmark.metrics import zeroshot_classification, zeroshot_retrieval

    zeroshot_classification.float = _number  # its name for the built-in one
    kind = (root / "dataset_type.txt").read_text().strip()
    name = f"local-dir:{checkpoint}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name)
    with _quiet():
        stream = build_dataset(
            f"wds/{root.name}", root=str(root), transform=preprocess, split=split, task=f"zeroshot_{kind}"
        )
        samples = Samples(stream)
        collate: Callable[..., Any] | None = image_captions_collate_fn if kind == "retrieval" else None
        loader = DataLoader(samples, batch_size=batch, collate_fn=collate)
        if kind == "retrieval":
            found = zeroshot_retrieval.evaluate(
                model.eval(), loader, tokenizer, "cpu", amp=False, recall_k_list=[1, 5, 10]
            )
        else:
            given = samples.classes, samples.templates
            found = zeroshot_classification.evaluate(model.eval(), loader, tokenizer, *given, "cpu", amp=False)
    return {OURS[name]: float(value) for name, value in found.items() if not math.isnan(value)}


def _number(value: Any) -> float:
    """`float`, which CLIP_benchmark 1.6.2 calls on arrays of one number: numpy 2.4 refuses that."""
    return float(value.item() if isinstance(value, np.ndarray) else value)


@contextlib.contextmanager
def _quiet() -> Any:
    """Keep its progress bars and remarks off the table."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        yield
