"""Some rows of a set, embedded at once: what needs no features of the whole set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from superbatch.data.kept import KeptPixels
from superbatch.data.manifest import Manifest
from superbatch.data.reader import ImageReader
from superbatch.evaluation.sharing import ALONE, Dealt, Sharers
from superbatch.models import ClipModel
from superbatch.models.towers import Towers

BATCH = 128


@dataclass(frozen=True)
class Prepared:
    """Image and first caption of n rows, ready to be embedded as often as is asked for.

    Attributes:
        pixels: in the model's view. ids: int64 (n, L), by the model's tokenizer. captions: empty where a row has none.
    """

    pixels: KeptPixels
    ids: Tensor
    captions: list[str]

    @classmethod
    def of(cls, clip: ClipModel, manifest: Manifest, rows: np.ndarray, most_bytes: int = 0) -> Prepared:
        """Tokenise the captions of some rows; their images are decoded when they are embedded, and kept up to so many bytes."""
        captions = [(of_row or [""])[0] for of_row in manifest.captions(rows)]
        pixels = KeptPixels(ImageReader(manifest, clip.image_size), rows, most_bytes)
        return cls(pixels, clip.tokenizer()(captions), captions)

    @torch.no_grad()
    def embed(self, towers: Towers, ranks: Sharers = ALONE) -> tuple[Tensor, Tensor]:
        """Return image and text embeddings of length 1, float32 (n, D), on the model's device; it must be in evaluation mode.

        Args:
            towers: the model, where it lies. ranks: who embeds the same at the same time, and shares it.
        """
        device, images, texts = towers.mean.device, [], []
        dealt = Dealt.evenly(len(self.captions), BATCH, ranks)
        for some in dealt.mine:
            pixels = torch.from_numpy(self.pixels.read(np.arange(some.start, some.stop)))
            image, text = towers.embed(pixels.to(device), self.ids[some].to(device))
            images.append(image)
            texts.append(text)
        return dealt.gather(images, device), dealt.gather(texts, device)


def embed_rows(
    clip: ClipModel, towers: Towers, manifest: Manifest, rows: np.ndarray
) -> tuple[Tensor, Tensor, list[str]]:
    """Embed image and first caption of some rows, once.

    Args:
        clip: a model in evaluation mode. towers: the same, where it lies.
        manifest: of the set.
        rows: n of them, one or more.

    Returns:
        Image and text embeddings of length 1, float32 (n, D), on the model's device, and the captions; empty where a row has none.
    """
    prepared = Prepared.of(clip, manifest, rows)
    return *prepared.embed(towers), prepared.captions
