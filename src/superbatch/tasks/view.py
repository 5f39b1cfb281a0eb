"""The input format of a model (view), and a set's pixels and token ids in that format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from superbatch.artifacts.fingerprints import fingerprint
from superbatch.data.manifest import Manifest
from superbatch.data.reader import ImageReader, PackedPixels, Pixels
from superbatch.data.tokens import Tokens, tokenize_captions
from superbatch.models import ClipModel, find_weights, located, read_config
from superbatch.models.build import tokenizer_name
from superbatch.options import LowSettings, ModelSettings


@dataclass(frozen=True)
class View:
    """The input format of a model: image side in pixels, tokenizer and context length."""

    image_size: int
    tokenizer_name: str
    context_length: int

    @classmethod
    def of(cls, clip: ClipModel) -> View:
        """Return the view of a model."""
        return cls(clip.image_size, clip.tokenizer_id, clip.context_length)

    @property
    def pixels_dir(self) -> str:
        """Folder of packed pixels at this size."""
        return f"pixels-{self.image_size}"

    @property
    def tokens_dir(self) -> str:
        """Folder of token ids of this tokenizer."""
        return f"tokens-{fingerprint([self.tokenizer_name, self.context_length])}"


def open_pixels(view: View, manifest: Manifest, features: Path | None) -> Pixels:
    """Open the packed pixels of a view if the embed stage wrote them, else a reader of the shards themselves."""
    packed = features / view.pixels_dir if features else None
    return (
        PackedPixels(packed, manifest.fingerprint)
        if packed is not None and packed.exists()
        else ImageReader(manifest, view.image_size)
    )


def open_tokens(clip: ClipModel, manifest: Manifest, features: Path | None, scratch: Path) -> Tokens:
    """Open the token ids of a model's tokenizer; tokenise into `scratch` where the embed stage did not."""
    view = View.of(clip)
    stored = features / view.tokens_dir if features else None
    if stored is None or not stored.exists():
        stored = scratch / f"{manifest.fingerprint}-{view.tokens_dir}"
        if not stored.exists():
            tokenize_captions(manifest, clip.tokenizer(), view.context_length, stored, view.tokenizer_name)
    return Tokens(stored, manifest.fingerprint)


def shell(path: str | Path) -> ClipModel:
    """Return what a model is without building it: its configuration, and its tokenizer's name."""
    config = read_config(path)
    return ClipModel(nn.Identity(), config, tokenizer_name(path, config))


def shell_of(model: ModelSettings) -> ClipModel:
    """Return what a model of these settings is without building it, after a look for its weights."""
    model = located(model)
    found = shell(model.config)
    if model.pretrained:
        find_weights(Path(model.pretrained))
    return found


def preprocessing(clip: ClipModel) -> str:
    """Name all that decides what a model of given weights makes of an image and a text.

    That is its configuration (size, quick_gelu and the like), the mean and standard deviation of its pixels, its tokenizer.
    """
    return fingerprint([clip.config["model_cfg"], clip.mean_std, vars(View.of(clip))])


def embedding_fingerprint(
    weights_sha256: str, manifest: Manifest, clip: ClipModel, low: LowSettings | None = None
) -> str:
    """Name an embedding cache by reference, set, preprocessing and tokenizer: another name is refused.

    Args:
        weights_sha256: of the reference.
        manifest: of the set.
        clip: the reference, or its `shell`.
        low: the view of its images; None: full.
    """
    return fingerprint([weights_sha256, manifest.fingerprint, preprocessing(clip), *([] if low is None else [low])])
