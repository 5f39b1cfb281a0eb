"""The parts of a checkpoint that can be exported: its towers as separate modules, and inputs to try them with.

Shapes: n samples, S image side, L tokens, d embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from superbatch.models import ClipModel, load_checkpoint
from superbatch.models.classifier import is_classifier
from superbatch.models.headed import is_image_only


class ImageTower(nn.Module):
    """Normalised pixels, float32 (n, 3, S, S), to embeddings of length 1, float32 (n, d)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Embed images."""
        embedded: Tensor = self.model.encode_image(pixel_values, normalize=True)
        return embedded


class TextTower(nn.Module):
    """Token ids, int64 (n, L), to embeddings of length 1, float32 (n, d)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor) -> Tensor:
        """Embed texts."""
        embedded: Tensor = self.model.encode_text(input_ids, normalize=True)
        return embedded


@dataclass(frozen=True)
class Exported:
    """A checkpoint to export.

    Attributes:
        checkpoint: its directory.
        clip: the model, in evaluation mode on the CPU.
        has_text: whether its text tower was trained; of a classifier and of a training on images alone it was not.
    """

    checkpoint: Path
    clip: ClipModel
    has_text: bool

    @classmethod
    def load(cls, checkpoint: Path) -> Exported:
        """Load a checkpoint of any kind."""
        return cls(
            checkpoint, load_checkpoint(checkpoint), not (is_classifier(checkpoint) or is_image_only(checkpoint))
        )

    @property
    def image_tower(self) -> ImageTower:
        """The image tower alone."""
        return ImageTower(self.clip.model)

    @property
    def text_tower(self) -> TextTower:
        """The text tower alone."""
        return TextTower(self.clip.model)

    def some_pixels(self, count: int, seed: int = 0) -> Tensor:
        """Draw pixels as a normalised image has them, float32 (count, 3, S, S)."""
        size = self.clip.image_size
        return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))

    def some_ids(self, count: int, seed: int = 0) -> Tensor:
        """Draw token ids of texts of several lengths, int64 (count, L): start, words, end, zeros, as CLIP's tokenizer has them."""
        model: Any = self.clip.model
        length, vocabulary = self.clip.context_length, int(model.vocab_size)
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(1, vocabulary - 2, (count, length), generator=generator)
        ends = torch.randint(1, length, (count, 1), generator=generator)
        places = torch.arange(length)
        ids[:, 0] = vocabulary - 2
        return ids.where(places < ends, 0).where(places != ends, vocabulary - 1)
