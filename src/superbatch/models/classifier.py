"""An open_clip image tower with class weights in the place of its text tower.

Shapes: n images, C classes, D embedding width, S image side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import normalize

from superbatch.models.build import ClipModel
from superbatch.models.checkpoint import load_checkpoint, read_metadata, save_checkpoint
from superbatch.models.layout import CLASSIFIER_FILE

CLASSNAMES = "classnames"  # in a checkpoint's metadata: its classes, class 0 first


class Classifier(nn.Module):
    """Classes of images: logits = scale * cosine of image embedding and class weight, as CLIP has them of images and prompts.

    Its modules and parameters are those that take part: the image tower, the weights and the scale. The text tower stays what it was.

    Args:
        clip: whose image tower it is.
        classnames: C names.
        scale: of the logits at first.
        seed: of the first weights, which are random; the global random state is left as it was.

    Attributes:
        weight: (C, D); only its directions count.
        logit_scale: logarithm of the scale.
    """

    def __init__(self, clip: ClipModel, classnames: Sequence[str], scale: float, seed: int) -> None:
        super().__init__()
        self.clip, self.classnames = clip, tuple(classnames)
        self.visual = clip.model.visual
        width = int(clip.config["model_cfg"]["embed_dim"])
        drawn = torch.randn(len(self.classnames), width, generator=torch.Generator().manual_seed(seed))
        self.weight = nn.Parameter(drawn / math.sqrt(width))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def encode_image(self, image: Tensor, normalize: bool = False) -> Tensor:
        """Embed images (n, 3, S, S) as open_clip does, (n, D)."""
        model: Any = self.clip.model
        found: Tensor = model.encode_image(image, normalize=normalize)
        return found

    def logits(self, image_nD: Tensor) -> Tensor:
        """Return the logits (n, C) of image embeddings of length 1."""
        return self.logit_scale.exp() * image_nD @ normalize(self.weight, dim=-1).T

    def class_weights(self, classnames: Sequence[str]) -> Tensor | None:
        """Return the weights of some classes by their names, of length 1, without a graph; None where not all are known, or a name is of two."""
        unit_CD = normalize(self.weight.detach(), dim=-1)
        if tuple(classnames) == self.classnames:
            return unit_CD
        number = {name: place for place, name in enumerate(self.classnames)}
        if len(number) < len(self.classnames) or not set(classnames) <= set(number):
            return None
        return unit_CD[[number[name] for name in classnames]]

    @property
    def shown(self) -> ClipModel:
        """The classifier as evaluation takes a model: with its input's view, and itself in the model's place."""
        return replace(self.clip, model=self)


def save_classifier(directory: Path, classifier: Classifier, metadata: dict[str, Any]) -> str:
    """Write a checkpoint in open_clip's format, beside it the class weights, and the classes into its metadata; returns its fingerprint."""
    beside = {"weight": classifier.weight.detach(), "logit_scale": classifier.logit_scale.detach()}
    about = metadata | {CLASSNAMES: list(classifier.classnames)}
    return save_checkpoint(directory, classifier.clip, about, classifier=beside)


def is_classifier(directory: Path) -> bool:
    """Whether a checkpoint is a classifier: then its text tower was never trained."""
    return (Path(directory) / CLASSIFIER_FILE).is_file()


def load_classifier(directory: Path) -> Classifier:
    """Load a classifier's checkpoint, in evaluation mode on the CPU."""
    classifier = Classifier(load_checkpoint(directory), read_metadata(directory)[CLASSNAMES], 1.0, 0)
    weights = load_file(Path(directory) / CLASSIFIER_FILE)
    classifier.load_state_dict(weights, strict=False)  # the image tower is there already
    return classifier.eval()
