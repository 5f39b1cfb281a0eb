"""Captions cut to their first tokens, so that a text tower reads them for less.

Shapes: n captions, L tokens of each, T of them read, D embedding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from superbatch.errors import UserError
from superbatch.models.build import ClipModel


def check_short(clip: ClipModel, tokens: int, where: str = "flexi.tokens") -> None:
    """Refuse a number of tokens that is no shorter, and a text tower that can't read fewer.

    Args:
        clip: the model. tokens: T. where: the setting's key.

    Raises:
        UserError: just that.
    """
    if not 3 <= tokens < clip.context_length:
        what = f"{tokens} tokens of a caption, whose context length is {clip.context_length}"
        raise UserError(where, what, f"use 3 or more, and fewer than {clip.context_length}, or leave it out")
    if getattr(clip.model, "text_pool_type", None) != "argmax":
        what = "the text tower is not CLIP's own, which reads a caption's embedding off its end token"
        raise UserError(where, what, "leave it out")


def shortened(ids: Tensor, tokens: int) -> Tensor:
    """Cut captions, int64 (n, L), to T tokens; of longer ones the end token, which has the largest id, takes the last place."""
    short = ids[:, :tokens].clone()
    end, place = ids.max(1)
    short[:, -1] = torch.where(place >= tokens, end, short[:, -1])
    return short


def encode_short(model: nn.Module, ids: Tensor) -> Tensor:
    """Embed short captions, int64 (n, T), with a text tower that was made for longer ones (`check_short`).

    Its tokens see those before them alone, so a caption that was not cut is embedded as ever.

    Returns:
        Embeddings (n, D) of length 1.
    """
    text: Any = model
    length = ids.shape[1]
    stand_ins = {"positional_embedding": text.positional_embedding[:length]}
    if text.attn_mask is not None:
        stand_ins["attn_mask"] = text.attn_mask[:length, :length]
    found: Tensor = functional_call(model, stand_ins, (), {"text": ids}, tie_weights=False)[1]
    return found
