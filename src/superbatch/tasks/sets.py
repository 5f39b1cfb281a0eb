"""Ingested sets as the fields that a contrastive task reads, in a model's view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from superbatch.bounds import require
from superbatch.data.fields import Field, Mapped, Stored, by_set, joined
from superbatch.data.manifest import Manifest, read_manifest
from superbatch.data.reader import ImageReader
from superbatch.data.tokens import Tokens
from superbatch.models import ClipModel, Vocabulary
from superbatch.tasks.contrastive import IMAGE, TOKENS
from superbatch.tasks.view import View, open_pixels, open_tokens


@dataclass(frozen=True)
class SetFiles:
    """Where a set's files are: its ingested directory and, once embedded, its features."""

    directory: Path
    features: Path | None = None

    def manifest(self) -> Manifest:
        """Open the set's manifest."""
        return read_manifest(self.directory)


@dataclass(frozen=True)
class OpenSets:
    """One or several sets, opened in a model's view; rows of later sets follow those of the first.

    Attributes:
        manifests: of each.
        image: field of pixels.
        tokens: each set's original token ids.
    """

    manifests: list[Manifest]
    image: Field
    tokens: list[Tokens]

    @property
    def fingerprints(self) -> list[str]:
        """What names the sets' content."""
        return [manifest.fingerprint for manifest in self.manifests]

    def fields(self, vocabulary: Vocabulary | None) -> dict[str, Field]:
        """Return pixels, and token ids of each row's first caption: compact ones where there is such a vocabulary."""
        ids = joined(Stored(tokens.of_rows, len(tokens)) for tokens in self.tokens)
        return {IMAGE: self.image, TOKENS: ids if vocabulary is None else compact(ids, vocabulary)}

    def vocabulary(self, clip: ClipModel) -> Vocabulary:
        """Return the vocabulary in use."""
        return Vocabulary.of(clip.model, np.unique(np.concatenate([tokens.distinct() for tokens in self.tokens])))

    def check_ids(self, clip: ClipModel, named: str) -> None:
        """Refuse token ids that an open_clip text tower has no embedding for.

        Args:
            clip: with its whole vocabulary. named: its configuration, for the message.

        Raises:
            UserError: just that.
        """
        if hasattr(clip.model, "token_embedding"):
            size = clip.model.token_embedding.num_embeddings
            highest = max(int(tokens.distinct().max(initial=0)) for tokens in self.tokens)
            remedy = "name the tokenizer that the model was made for as text_cfg.hf_tokenizer_name, or set vocab_size to the tokenizer's"
            require(
                bool(highest < size),
                f"{named}: text_cfg.vocab_size",
                f"is {size:,}, and the tokenizer gives id {highest:,}",
                remedy,
            )

    def names(self, rows: np.ndarray) -> tuple[list[str], list[str]]:
        """Return shard and key of each row, as the manifests have them."""
        found = np.empty((2, len(rows)), object)
        for number, mask, own in by_set(rows, list(map(len, self.manifests))):
            table = self.manifests[number].take(["shard", "key"], own)
            for place, column in enumerate(table.columns):
                found[place, mask] = column.to_pylist()
        shards, keys = found.tolist()
        return shards, keys


def open_sets(clip: ClipModel, sets: Sequence[SetFiles], scratch: Path) -> OpenSets:
    """Open sets in a model's view; captions that the embed stage did not tokenise are tokenised into `scratch`."""
    manifests = [files.manifest() for files in sets]
    view = View.of(clip)
    tokens = [open_tokens(clip, m, files.features, scratch) for m, files in zip(manifests, sets, strict=True)]
    for cache in tokens:
        cache.require_captions()
    return OpenSets(manifests, open_images(view, manifests, sets), tokens)


def open_images(view: View, manifests: Sequence[Manifest], sets: Sequence[SetFiles]) -> Field:
    """Open the pixels of sets, with these manifests, in a view, as one field."""
    pixels = [open_pixels(view, m, files.features) for m, files in zip(manifests, sets, strict=True)]
    return joined(
        Stored(one.read, len(m), one.objects if isinstance(one, ImageReader) else None)
        for one, m in zip(pixels, manifests, strict=True)
    )


def compact(ids: Field, vocabulary: Vocabulary) -> Field:
    """Turn a field of original token ids into compact ones."""
    return Mapped(ids, _Compact(vocabulary))


@dataclass(frozen=True)
class _Compact:
    vocabulary: Vocabulary

    def __call__(self, ids_nL: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.vocabulary.to_compact(torch.from_numpy(ids_nL)).numpy()
        return found
