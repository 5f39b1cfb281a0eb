"""Embed your own images and texts with a trained model, prepared as in its training.

Legend: n images or texts, S image side, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from superbatch.data.decode import READ, DecodeError, decode, to_rgb
from superbatch.data.reader import centre_square
from superbatch.errors import UserError
from superbatch.models import ClipModel
from superbatch.models.towers import Towers

BATCH = 256  # by default, what goes through the model at once


@torch.inference_mode()
def embed_images(clip: ClipModel, images: Sequence[str | Path | Image.Image], batch: int = BATCH) -> Tensor:
    """Embed images: the centre square at the model's size, alpha over white, turned upright.

    Args:
        clip: a model in evaluation mode (`load_checkpoint`), wherever it lies.
        images: files, or images that Pillow opened; n of them.
        batch: how many go through the model at once.

    Returns:
        Embeddings of length 1, float32 (n, D), on the CPU.

    Raises:
        UserError: a file that is not there, or is no image that we read; one name in the place of a list.
    """
    _require_several(images, "images")
    device = _device(clip)
    towers = Towers.of(clip, device, "auto")
    found = [torch.empty(0, _width(clip))]
    for start in range(0, len(images), batch):
        views = [_view(image, clip.image_size) for image in images[start : start + batch]]
        pixels_n3SS = torch.from_numpy(np.stack(views)).to(device).permute(0, 3, 1, 2)
        found.append(towers.images(pixels_n3SS).cpu())
    return torch.cat(found)


@torch.inference_mode()
def embed_texts(clip: ClipModel, texts: Sequence[str], batch: int = BATCH) -> Tensor:
    """Embed texts.

    Args:
        clip: a model in evaluation mode (`load_checkpoint`), wherever it lies.
        texts: n of them.
        batch: how many go through the model at once.

    Returns:
        Embeddings of length 1, float32 (n, D), on the CPU.

    Raises:
        UserError: one text in the place of a list.
    """
    _require_several(texts, "texts")
    device, tokenizer = _device(clip), clip.tokenizer()
    towers = Towers.of(clip, device, "auto")
    found = [torch.empty(0, _width(clip))]
    for start in range(0, len(texts), batch):
        ids = tokenizer(list(texts[start : start + batch])).to(device)
        found.append(towers.texts(ids).cpu())
    return torch.cat(found)


def _require_several(given: object, name: str) -> None:
    """Refuse one text where a list is needed: Python would take its letters."""
    if isinstance(given, str | Path):
        raise UserError(name, f"{str(given)!r} is no list", f"write [{str(given)!r}]")


def _device(clip: ClipModel) -> torch.device:
    return next(clip.model.parameters()).device


def _width(clip: ClipModel) -> int:
    return int(clip.config["model_cfg"]["embed_dim"])


def _view(image: str | Path | Image.Image, size: int) -> np.ndarray:
    """Return an image as the model sees it, uint8 (S, S, 3)."""
    if isinstance(image, Image.Image):
        return centre_square(np.asarray(to_rgb(ImageOps.exif_transpose(image))), size)
    try:
        return centre_square(decode(Path(image).read_bytes(), at_least=size), size)
    except OSError as error:
        raise UserError(str(image), f"can't be opened ({error.strerror})", "name an image file") from None
    except DecodeError as error:
        raise UserError(str(image), error.detail, READ) from None
