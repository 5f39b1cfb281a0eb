"""Image embeddings of many pictures in a file: what is searched, and what is divided into clusters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from superbatch.artifacts.scratch import new_npy
from superbatch.data.reader import Pixels
from superbatch.models import ClipModel, pick_device
from superbatch.models.towers import Towers
from superbatch.progress import progress


@torch.inference_mode()
def write_image_embeddings(
    clip: ClipModel, pixels: Pixels, count: int, file: Path, *, what: str, batch: int, device: str
) -> np.ndarray:
    """Embed pictures into a numpy file of float16 rows of length 1, (N, D); returns it mapped.

    Args:
        clip: the model.
        pixels: uint8 images by picture, at the model's size.
        count: N.
        file: to write.
        what: is embedded, for the progress bar.
        batch: images a forward pass.
        device: where the model runs; auto takes the GPU if there is one.

    Raises:
        DiskFull: no room for the file.
    """
    place = pick_device(device)
    clip.model.to(place).eval()
    towers, width = Towers.of(clip, place, "auto"), int(clip.config["model_cfg"]["embed_dim"])
    images_ND = new_npy(file, np.float16, (count, width))
    for start in progress(range(0, count, batch), description=what, unit="batch"):
        numbers = np.arange(start, min(start + batch, count))
        embedded = towers.images(torch.from_numpy(pixels.read(numbers)).to(place))
        images_ND[numbers] = embedded.cpu().numpy()
    images_ND.flush()
    return images_ND
