"""A model for training and scoring: takes uint8 pixels and token ids, returns embeddings.

Shapes: n samples, S image side, L tokens, d embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from superbatch.models.build import ClipModel


@dataclass(frozen=True)
class Towers:
    """A model with its input normalisation and its precision."""

    clip: ClipModel
    mean: Tensor
    inverse_std: Tensor
    autocast: bool
    compiled: tuple[Callable[..., Tensor], Callable[..., Tensor]] | None = None

    @classmethod
    def of(cls, clip: ClipModel, device: torch.device, precision: str, compiled: bool = False) -> Towers:
        """Put the normalisation on the device; bf16 where asked for, or by default on a GPU; torch.compile where asked for."""
        mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) * 255 for v in clip.mean_std)
        bf16 = precision == "bf16" or (precision == "auto" and device.type == "cuda")
        model: Any = clip.model  # open_clip has two kinds, with the same methods
        both = (torch.compile(model.encode_image), torch.compile(model.encode_text)) if compiled else None
        return cls(clip, mean, 1 / std, bf16, both)

    def precision(self) -> AbstractContextManager[None]:
        """Autocast to bfloat16, or nothing."""
        device = self.mean.device.type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.autocast)

    def embed(self, pixels: Tensor, token_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return normalised image and text embeddings, float32 (n, d) each, of uint8 (n, 3, S, S) and int64 (n, L)."""
        return self.images(pixels), self.texts(token_ids)

    def images(self, pixels: Tensor, encode: Callable[..., Tensor] | None = None) -> Tensor:
        """Return normalised embeddings, float32 (n, d), of uint8 images (n, 3, S, S); by another way than `encode_image`, if given."""
        own: Any = self.compiled[0] if self.compiled else self.clip.model.encode_image
        # In place, in the only copy needed: each further copy of a large slice allocates new pages of memory.
        normalised = pixels.to(torch.float32, copy=True).sub_(self.mean).mul_(self.inverse_std)
        with self.precision():
            embedded: Tensor = (encode or own)(normalised, normalize=True)
        return embedded.float()

    def texts(self, token_ids: Tensor, encode: Callable[..., Tensor] | None = None) -> Tensor:
        """Return normalised embeddings, float32 (n, d), of token ids, int64 (n, L); by another way than `encode_text`, if given."""
        own: Any = self.compiled[1] if self.compiled else self.clip.model.encode_text
        with self.precision():
            embedded: Tensor = (encode or own)(token_ids, normalize=True)
        return embedded.float()

    def scale_and_bias(self) -> tuple[Tensor, Tensor | None]:
        """Return exp(logit_scale) and logit_bias as tensors that carry gradients; None where the model has no bias."""
        return self.clip.model.logit_scale.exp(), getattr(self.clip.model, "logit_bias", None)
