"""What a learner draws from: pixels, token ids and reference embeddings of numbered rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from superbatch.data.order import Order


class Pixels(Protocol):
    """Anything that gives the images of rows: `ImageReader`, `PackedPixels`."""

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return uint8 images of shape (n, 3, S, S)."""
        ...


class ReferenceEmbeddings(Protocol):
    """Cached reference embeddings by row: `EmbeddingCache`."""

    def rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return float32 image and text embeddings, each (n, d)."""
        ...


@dataclass
class Source:
    """One set, or the part of it that a run uses.

    Attributes:
        pixels: images by row.
        token_ids_NL: token ids of each row's first caption (compact ids where the run trains a compact vocabulary).
        rows: the rows in use, ascending; None for all.
    """

    pixels: Pixels
    token_ids_NL: Tensor
    rows: np.ndarray | None = None

    @property
    def num_rows(self) -> int:
        """Rows that the order runs over."""
        return len(self.token_ids_NL) if self.rows is None else len(self.rows)

    def manifest_rows(self, positions: np.ndarray) -> np.ndarray:
        """Turn positions of the order into row numbers of the manifest."""
        return positions if self.rows is None else self.rows[positions]


class Concatenated:
    """Pixels of several sets as one: the rows of the second follow those of the first."""

    def __init__(self, parts: list[Pixels], sizes: list[int]) -> None:
        self.parts, self.starts = parts, np.cumsum([0, *sizes])

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return uint8 images of shape (n, 3, S, S)."""
        which = np.searchsorted(self.starts, rows, side="right") - 1
        images: np.ndarray | None = None
        for part in np.unique(which):
            mask = which == part
            found = self.parts[part].read(rows[mask] - self.starts[part])
            if images is None:
                images = np.empty((len(rows), *found.shape[1:]), np.uint8)
            images[mask] = found
        assert images is not None, "no rows asked for"
        return images


class SuperBatches(Dataset):  # type: ignore[type-arg]
    """The super-batch of each step: a pure function of the step, so that any worker may read any of them."""

    def __init__(self, source: Source, order: Order) -> None:
        self.source, self.order = source, order

    def __getitem__(self, step: int) -> tuple[np.ndarray, Tensor, Tensor]:
        """Return rows int64 (B,), pixels uint8 (B, 3, S, S) and token ids (B, L) of a step."""
        return self.read(self.order.rows(step))

    def read(self, positions: np.ndarray) -> tuple[np.ndarray, Tensor, Tensor]:
        """Return the same for any n positions of the order."""
        rows = self.source.manifest_rows(positions)
        pixels = torch.from_numpy(self.source.pixels.read(rows))
        return rows, pixels, self.source.token_ids_NL[torch.from_numpy(rows)]


def _as_is(item: Any) -> Any:
    """Keep row numbers as numpy: the default collation would make tensors of them."""
    return item


def make_loader(batches: SuperBatches, first: int, last: int, workers: int, pin: bool) -> DataLoader:  # type: ignore[type-arg]
    """Iterate over the super-batches of steps first..last-1 in order, read ahead by `workers` processes.

    The private generator keeps the loader from drawing its base seed from the global random state, which a resumed run restores.
    """
    return DataLoader(
        batches,
        batch_size=None,
        collate_fn=_as_is,
        sampler=range(first, last),
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        pin_memory=pin,
        generator=torch.Generator().manual_seed(0),
    )
