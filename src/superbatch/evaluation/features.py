"""Labelled image embeddings: what few-shot, linear probe and k-NN learn from and are measured on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from superbatch.evaluation.ranks import finite


@dataclass(frozen=True)
class Features:
    """Embeddings of images with their classes.

    Letters in names: N images, D embedding width.

    Attributes:
        image_ND: float32, of norm 1, on any device.
        labels_N: int64 class numbers from 0.
    """

    image_ND: Tensor
    labels_N: np.ndarray

    def __len__(self) -> int:
        return len(self.labels_N)

    def of(self, rows: np.ndarray) -> Features:
        """Return some rows, by number or mask."""
        return Features(self.image_ND[np.arange(len(self))[rows]], self.labels_N[rows])

    def array(self) -> np.ndarray:
        """Return the embeddings on the CPU, float64 (N, D).

        Raises:
            UserError: a value that is not finite.
        """
        image_ND: np.ndarray = finite(self.image_ND.detach()).cpu().double().numpy()
        return image_ND
