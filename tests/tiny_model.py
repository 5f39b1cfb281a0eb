"""The smallest open_clip configuration that tests train."""

from __future__ import annotations

from typing import Any


def tiny_model_cfg(width: int = 32, vocab_size: int = 49408) -> dict[str, Any]:
    """open_clip's `model_cfg`: images of 16 pixels in patches of 8, captions of 8 tokens, a layer in each tower."""
    return {
        "embed_dim": width // 2,
        "vision_cfg": {"image_size": 16, "patch_size": 8, "width": width, "layers": 1, "head_width": 16},
        "text_cfg": {"context_length": 8, "vocab_size": vocab_size, "width": width, "heads": 2, "layers": 1},
    }
