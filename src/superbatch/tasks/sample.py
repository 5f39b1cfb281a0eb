"""Some rows of a set, embedded at once: what needs no features of the whole set."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from superbatch.data.manifest import Manifest
from superbatch.data.reader import ImageReader
from superbatch.models import ClipModel
from superbatch.models.towers import Towers

BATCH = 128


@torch.no_grad()
def embed_rows(
    clip: ClipModel, towers: Towers, manifest: Manifest, rows: np.ndarray
) -> tuple[Tensor, Tensor, list[str]]:
    """Embed image and first caption of some rows.

    Args:
        clip: a model in evaluation mode. towers: the same, where it lies.
        manifest: of the set.
        rows: n of them, one or more.

    Returns:
        Image and text embeddings of length 1, float32 (n, D), on the model's device, and the captions; empty where a row has none.
    """
    reader, tokenizer, device = ImageReader(manifest, clip.image_size), clip.tokenizer(), towers.mean.device
    captions = [(of_row or [""])[0] for of_row in manifest.captions(rows)]
    found = []
    for some in np.array_split(np.arange(len(rows)), max(1, len(rows) // BATCH)):
        ids = tokenizer([captions[place] for place in some]).to(device)
        found.append(towers.embed(torch.from_numpy(reader.read(rows[some])).to(device), ids))
    images, texts = (torch.cat(tensors) for tensors in zip(*found, strict=True))
    return images, texts, captions
