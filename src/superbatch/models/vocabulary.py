"""Train only the token ids that occur, and keep the whole vocabulary in the checkpoint.

CLIP's tokenizer has 49,408 ids; a domain uses a few hundred or thousand. A tiny model spends most of its parameters, and of its optimiser
step, on rows that never get a gradient. A `Vocabulary` maps the ids in use onto 0..n-1 in ascending order, so the end token, which CLIP
finds by `argmax`, keeps the largest id. A tower that finds it by its id (open_clip's `pool_type: eos`) is told the new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Vocabulary:
    """Sorted token ids in use, and the full table as it was before training.

    Attributes:
        ids_V: the original ids, ascending.
        table_FW: the untouched embedding table, F ids of width W; rows out of use stay as they are here.
    """

    ids_V: Tensor
    table_FW: Tensor

    @classmethod
    def of(cls, model: nn.Module, token_ids: np.ndarray) -> Vocabulary:
        """Collect the ids that occur in an array of token ids of any shape; padding, start and end are always in."""
        full = model.token_embedding.num_embeddings
        end = _end_id(model)
        used = np.union1d(np.unique(token_ids), [0, full - 2, full - 1, *([] if end is None else [end])])
        return cls(torch.from_numpy(used.astype(np.int64)), model.token_embedding.weight.detach().clone())

    def to_compact(self, ids: Tensor) -> Tensor:
        """Map original ids (any shape, int64) onto compact ones."""
        compact = torch.searchsorted(self.ids_V, ids).clamp_(max=len(self.ids_V) - 1)
        assert torch.equal(self.ids_V[compact], ids), "a token id outside the vocabulary"
        return compact

    def shrink(self, model: Any) -> None:
        """Replace the model's token embedding by the rows in use."""
        rows_VW = model.token_embedding.weight.detach()[self.ids_V]
        model.token_embedding = _embedding(rows_VW)
        end = _end_id(model)
        if end is not None:
            model.text_eos_id = int(self.to_compact(torch.tensor(end)))

    def grow(self, model: nn.Module) -> nn.Embedding:
        """Return the full embedding: trained rows scattered back over the untouched table."""
        weight = model.token_embedding.weight.detach()
        full_FW = self.table_FW.to(weight.device).clone()
        full_FW[self.ids_V.to(weight.device)] = weight
        return _embedding(full_FW)


def _embedding(weight: Tensor) -> nn.Embedding:
    """An embedding with these weights, made without drawing from the global random state."""
    return nn.Embedding.from_pretrained(weight.clone(), freeze=False)


def _end_id(model: Any) -> int | None:
    """The id by which a tower finds the end token; None where it finds it by `argmax`, or pools elsewhere."""
    return int(model.text_eos_id) if getattr(model, "text_pool_type", None) == "eos" else None


class full_vocabulary:
    """Context: the model takes original token ids (for evaluation and export), then compact ones again."""

    def __init__(self, model: nn.Module, vocabulary: Vocabulary | None) -> None:
        self.model: Any = model
        self.vocabulary = vocabulary

    def __enter__(self) -> nn.Module:
        if self.vocabulary is not None:
            self.compact = self.model.token_embedding
            self.model.token_embedding = self.vocabulary.grow(self.model)
            self.compact_end = _end_id(self.model)
            if self.compact_end is not None:
                self.model.text_eos_id = int(self.vocabulary.ids_V[self.compact_end])
        return self.model

    def __exit__(self, *_: object) -> None:
        if self.vocabulary is not None:
            self.model.token_embedding = self.compact
            if self.compact_end is not None:
                self.model.text_eos_id = self.compact_end
