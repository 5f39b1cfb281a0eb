"""Search pictures by words with a model: embeddings of all pictures, made once, and the nearest ones to a query.

Legend: N pictures, W words, Q queries, D embedding width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from superbatch.data.reader import Pixels
from superbatch.errors import UserError
from superbatch.evaluation.nearest import nearest
from superbatch.models import ClipModel
from superbatch.tasks.image_embeddings import write_image_embeddings
from superbatch.tasks.inference import embed_texts
from superbatch.tasks.words import STOP_WORDS, words_of

IMAGES, WORDS = "images.npy", "words.npy"
BLOCK = 16_384  # pictures ranked at a time


class SearchIndex:
    """What `write_index` wrote: embeddings by picture and by word, memory-mapped.

    Args:
        directory: where it lies.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @cached_property
    def images(self) -> np.ndarray:
        """Embeddings of the pictures, float16 (N, D), of length 1."""
        return np.asarray(np.load(self.directory / IMAGES, mmap_mode="r"))

    @cached_property
    def words(self) -> np.ndarray:
        """Embeddings of the words, float16 (W, D), of length 1."""
        return np.asarray(np.load(self.directory / WORDS, mmap_mode="r"))

    def blocks(self) -> Iterator[Tensor]:
        """Yield the pictures' embeddings in order, a block at a time."""
        for start in range(0, len(self.images), BLOCK):
            yield torch.from_numpy(np.array(self.images[start : start + BLOCK]))

    def rank(self, text_QD: Tensor, top: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of the nearest pictures, int64 (Q, k), and their cosines, float64 (Q, k)."""
        return nearest(self.blocks(), text_QD, top)


@torch.inference_mode()
def write_index(
    clip: ClipModel, pixels: Pixels, count: int, words: Sequence[str], out: Path, *, name: str, batch: int, device: str
) -> None:
    """Embed all pictures, and the words that the page knows, into a directory.

    Args:
        clip: the model.
        pixels: uint8 images by picture, at the model's size.
        count: N.
        words: W texts.
        out: the directory.
        name: of the run, for the progress bar.
        batch: images a forward pass.
        device: where the model runs; auto takes the GPU if there is one.
    """
    what = f"pictures by {name}"
    write_image_embeddings(clip, pixels, count, out / IMAGES, what=what, batch=batch, device=device)
    np.save(out / WORDS, embed_texts(clip, words, batch).numpy().astype(np.float16))


def embed_queries(clip: ClipModel, queries: Sequence[str]) -> Tensor:
    """Embed what is searched for, float32 (Q, D).

    Raises:
        UserError: a query of which the model's tokenizer leaves nothing.
    """
    tokenizer = clip.tokenizer()
    nothing, *ids = tokenizer(["", *queries])
    for query, own in zip(queries, ids, strict=True):
        if torch.equal(own, nothing):
            raise UserError("search.query", f"{query!r} has no word in it", "say what to look for, such as star")
    return embed_texts(clip, queries)


def unknown_words(query: str, captions: Sequence[str]) -> list[str]:
    """List the words of a query that are in none of the captions searched: a model may never have learned them."""
    left = [word for word in words_of(query) if word not in STOP_WORDS]
    return [word for word in left if not any(_has(caption.lower(), word) for caption in captions)]


def _has(caption: str, word: str) -> bool:
    return word in caption and word in words_of(caption)  # the first pass is fast, the second exact
