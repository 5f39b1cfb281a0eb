"""An open_clip image tower trained without texts: with heads on its embedding while it trains, and alone afterwards.

Shapes: n images, D embedding width, S image side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from superbatch.models.build import ClipModel
from superbatch.models.checkpoint import load_checkpoint, read_metadata, save_checkpoint
from superbatch.models.classifier import is_classifier, load_classifier
from superbatch.models.layout import METADATA_FILE

IMAGE_ONLY = "image_only"  # in a checkpoint's metadata: its text tower was never trained


class Headed(nn.Module):
    """The image tower of an open_clip model with heads, for training without texts.

    Args:
        visual: the tower.
        heads: by name, on its embeddings.
    """

    image_only = True  # for evaluation: without a text tower, only labeled images can be compared with

    def __init__(self, visual: nn.Module, heads: Mapping[str, nn.Module] | None = None) -> None:
        super().__init__()
        self.visual, self.heads = visual, nn.ModuleDict(dict(heads or {}))

    def encode_image(self, image: Tensor, normalize: bool = False) -> Tensor:
        """Embed images (n, 3, S, S) as open_clip does, (n, D)."""
        found: Tensor = self.visual(image)
        return functional.normalize(found, dim=-1) if normalize else found


def head(width: int, hidden: int, out: int) -> nn.Sequential:
    """Two layers with layer normalisation between them: batch normalisation, which BYOL has there, would mix the samples of a batch."""
    return nn.Sequential(nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, out))


def head_cost(one: nn.Module) -> float:
    """Return the operations of a head's matrix products for one sample: a multiplication and an addition count as two."""
    return float(sum(2 * layer.weight.numel() for layer in one.modules() if isinstance(layer, nn.Linear)))


def drawn_heads(shapes: Mapping[str, tuple[int, int, int]], seed: int) -> dict[str, nn.Module]:
    """Make heads of (width, hidden, out) by name, their weights drawn from a seed; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return {name: head(*shape) for name, shape in shapes.items()}


def save_image_tower(directory: Path, clip: ClipModel, metadata: dict[str, Any]) -> str:
    """Write a checkpoint in open_clip's format, without heads, which says that its text tower was never trained; returns its fingerprint."""
    return save_checkpoint(directory, clip, metadata | {IMAGE_ONLY: True})


def is_image_only(directory: Path) -> bool:
    """Whether a checkpoint is of a training on images alone."""
    return (Path(directory) / METADATA_FILE).is_file() and bool(read_metadata(directory).get(IMAGE_ONLY))


def shown_alone(clip: ClipModel) -> ClipModel:
    """The image tower as evaluation takes a model: with its input's view, and itself in the model's place."""
    visual: Any = clip.model.visual
    return replace(clip, model=Headed(visual))


def load_measured(directory: Path) -> ClipModel:
    """Load a checkpoint of any kind as evaluation measures it.

    Of a classifier its class weights stand in the place of prompts; of a training on images alone the image tower is all.
    """
    if is_classifier(directory):
        return load_classifier(directory).shown
    clip = load_checkpoint(directory)
    return shown_alone(clip) if is_image_only(directory) else clip
