"""Embeddings as a page carries them: small whole numbers, from which cosines come back to about three decimals.

Legend: N pictures, W words, D embedding width.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

LEVELS = 127  # int8
FINE = 32767  # int16


@dataclass(frozen=True)
class Quantised:
    """Embeddings of pictures about their mean: x[i] is about mean + scale[i] * steps[i].

    Embeddings of one model lie close together; about their mean eight bits tell them apart, about zero they need not.

    Attributes:
        mean: float32 (D,).
        scale: float32 (N,).
        steps: int8 (N, D).
    """

    mean: np.ndarray
    scale: np.ndarray
    steps: np.ndarray

    @classmethod
    def of(cls, image_ND: np.ndarray) -> Quantised:
        """Quantise embeddings, any float type (N, D)."""
        image_ND = image_ND.astype(np.float32)
        mean = image_ND.mean(0)
        centred = image_ND - mean
        scale = np.maximum(np.abs(centred).max(1), 1e-12) / LEVELS
        return cls(mean, scale.astype(np.float32), np.rint(centred / scale[:, None]).astype(np.int8))

    def cosines(self, text_D: np.ndarray) -> np.ndarray:
        """Return the cosine of each picture and a text, float32 (N,), as the page's script computes it."""
        text_D = text_D.astype(np.float32)
        found: np.ndarray = self.mean @ text_D + self.scale * (self.steps.astype(np.float32) @ text_D)
        return found


def fine(text_WD: np.ndarray) -> np.ndarray:
    """Quantise embeddings of length 1, any float type (W, D), to int16: x is about steps / `FINE`."""
    return np.rint(np.clip(text_WD.astype(np.float32), -1, 1) * FINE).astype(np.int16)


def packed(values: np.ndarray) -> str:
    """Return the bytes of an array as base64, little-endian."""
    return base64.b64encode(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()).decode()
