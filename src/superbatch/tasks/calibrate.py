"""Give a softmax-trained checkpoint a scale and a bias under which sigmoid losses mean something."""

from __future__ import annotations

import math

import numpy as np
import torch

from superbatch.data.manifest import Manifest
from superbatch.data.reader import ImageReader
from superbatch.losses import sigmoid_loss
from superbatch.models import ClipModel, pick_device
from superbatch.models.towers import Towers
from superbatch.options import TrainingSettings

SAMPLES = 1_024
BATCH = 128


def calibrate(clip: ClipModel, manifest: Manifest, settings: TrainingSettings) -> dict[str, float]:
    """Fit scale and bias to the sigmoid loss of the curated set, the towers left as they are.

    Two numbers, fitted by L-BFGS on batches of the curated set (the loss is convex in them); the model gets them in place.

    Returns:
        scale, bias, and the loss before and after.
    """
    device = pick_device(settings.device)
    clip.model.to(device).eval()
    towers = Towers.of(clip, device, settings.precision)
    rows = np.arange(min(SAMPLES, len(manifest)))
    images_nd, texts_nd = _embed(clip, towers, manifest, rows)
    scale = clip.model.logit_scale.detach().clone().requires_grad_()
    bias = torch.full_like(scale, -math.log(max(2, min(BATCH, len(rows))) - 1)).requires_grad_()
    optimizer = torch.optim.LBFGS([scale, bias], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        parts = [
            sigmoid_loss(i, t, scale.exp(), bias)
            for i, t in zip(images_nd.split(BATCH), texts_nd.split(BATCH), strict=True)
        ]
        return torch.stack(parts).mean()

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    before = float(loss().detach())
    optimizer.step(closure)  # type: ignore[arg-type,no-untyped-call]
    with torch.no_grad():
        clip.model.logit_scale.copy_(scale)
        clip.model.logit_bias = torch.nn.Parameter(bias.detach().clone())
        fitted = {"scale": float(scale.exp()), "bias": float(bias)}
        clip.config["model_cfg"]["init_logit_bias"] = fitted["bias"]
        return {**fitted, "loss_before": before, "loss_after": float(loss())}


@torch.no_grad()
def _embed(clip: ClipModel, towers: Towers, manifest: Manifest, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Embed the first caption and the image of rows."""
    reader, tokenizer, device = ImageReader(manifest, clip.image_size), clip.tokenizer(), towers.mean.device
    captions = manifest.first_captions()
    found = []
    for some in np.array_split(rows, max(1, len(rows) // BATCH)):
        ids = tokenizer([captions[row] for row in some]).to(device)
        found.append(towers.embed(torch.from_numpy(reader.read(some)).to(device), ids))
    images, texts = (torch.cat(tensors) for tensors in zip(*found, strict=True))
    return images, texts
