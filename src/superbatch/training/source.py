"""What a learner draws from: pixels, token ids and reference embeddings of numbered rows.

Nothing here holds an array of all rows: images, token ids and embeddings are read by row from mapped files, so that
start-up and memory do not grow with the pool.

Legend: N rows, B super-batch size, S image side, L tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from superbatch.data.order import Order
from superbatch.data.tokens import Tokens
from superbatch.models import Vocabulary
from superbatch.training.distributed import Ranks

Samples = tuple[np.ndarray, Tensor, Tensor]  # rows int64 (n,), pixels uint8 (n, 3, S, S), token ids int64 (n, L)


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


@dataclass(frozen=True)
class CachedTokenIds:
    """Token ids of each row's first caption, out of the sets' caches, turned into compact ids where there are such.

    Attributes:
        sets: the caches; rows of the second follow those of the first.
        vocabulary: where the model trains on compact ids.
    """

    sets: tuple[Tokens, ...]
    vocabulary: Vocabulary | None = None

    def __len__(self) -> int:
        """Rows, N."""
        return sum(len(tokens) for tokens in self.sets)

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Return the ids of some rows, int64 (n, L)."""
        ids = torch.from_numpy(self._original(rows.numpy()))
        return ids if self.vocabulary is None else self.vocabulary.to_compact(ids)

    def distinct(self) -> np.ndarray:
        """Return the original ids that occur, ascending."""
        return np.unique(np.concatenate([tokens.distinct() for tokens in self.sets]))

    def _original(self, rows: np.ndarray) -> np.ndarray:
        if len(self.sets) == 1:
            return self.sets[0].of_rows(rows)
        ids_nL = np.empty((len(rows), self.sets[0].context_length), np.int64)
        for part, mask, own in by_set(rows, [len(tokens) for tokens in self.sets]):
            ids_nL[mask] = self.sets[part].of_rows(own)
        return ids_nL


def by_set(rows: np.ndarray, sizes: list[int]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Tell which of several sets hold some rows, where the rows of each set follow those of the one before.

    Yields, for each set that holds any: its number, which of the rows those are (bool), and their numbers in the set.
    """
    starts = np.cumsum([0, *sizes])
    which = np.searchsorted(starts, rows, side="right") - 1
    for part in np.unique(which):
        mask = which == part
        yield part, mask, rows[mask] - starts[part]


@dataclass
class Source:
    """One set, or the part of it that a run uses.

    Attributes:
        pixels: images by row.
        token_ids_NL: token ids of each row's first caption (compact ids where the run trains a compact vocabulary), int64.
        rows: the rows in use, ascending; None for all.
    """

    pixels: Pixels
    token_ids_NL: Tensor | CachedTokenIds
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
        self.parts, self.sizes = parts, sizes

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return uint8 images of shape (n, 3, S, S)."""
        images: np.ndarray | None = None
        for part, mask, own in by_set(rows, self.sizes):
            found = self.parts[part].read(own)
            if images is None:
                images = np.empty((len(rows), *found.shape[1:]), np.uint8)
            images[mask] = found
        assert images is not None, "no rows asked for"
        return images


class Rows(Protocol):
    """Which rows are read at each step: an `Order`, or a rank's `Slice` of it."""

    @property
    def batch_size(self) -> int:
        """Rows a step."""
        ...

    def rows(self, step: int, part: int = 0, parts: int = 1) -> np.ndarray:
        """Return the positions of a step, or a part of them, int64."""
        ...

    def part_start(self, part: int, parts: int) -> int:
        """Return the place where a part begins."""
        ...


@dataclass(frozen=True)
class Slice:
    """A rank's slice of every super-batch: as an order, only shorter.

    Attributes:
        order: of whole super-batches.
        ranks: who shares them.
    """

    order: Order
    ranks: Ranks

    @property
    def batch_size(self) -> int:
        """Rows a step for this rank."""
        return self.ranks.counts(self.order.batch_size)[self.ranks.rank]

    def rows(self, step: int, part: int = 0, parts: int = 1) -> np.ndarray:
        """Return this rank's positions of a step, or a part of them, int64."""
        mine = self.order.rows(step, self.ranks.rank, self.ranks.world)
        return mine[self.part_start(part, parts) : self.part_start(part + 1, parts)]

    def part_start(self, part: int, parts: int) -> int:
        """Return the place inside the slice where a part begins."""
        return self.batch_size * part // parts


@dataclass(frozen=True)
class SuperBatches:
    """The super-batch of each step: a pure function of the step, so that any process may read any part of any of them.

    Attributes:
        source: what is read.
        order: which rows.
    """

    source: Source
    order: Rows

    def read(self, positions: np.ndarray) -> Samples:
        """Return rows int64 (n,), pixels uint8 (n, 3, S, S) and token ids (n, L) of any n positions of the order."""
        rows = self.source.manifest_rows(positions)
        pixels = torch.from_numpy(self.source.pixels.read(rows))
        return rows, pixels, self.source.token_ids_NL[torch.from_numpy(rows)]
