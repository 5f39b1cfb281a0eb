"""Give a softmax-trained checkpoint a scale and a bias under which sigmoid losses mean something."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from superbatch.data.manifest import Manifest
from superbatch.losses import fit_scale_and_bias
from superbatch.models import ClipModel, pick_device
from superbatch.models.towers import Towers
from superbatch.options import TrainingSettings
from superbatch.tasks.sample import BATCH, embed_rows

SAMPLES = 1_024


def calibrate(clip: ClipModel, manifest: Manifest, settings: TrainingSettings) -> dict[str, float]:
    """Fit scale and bias to the sigmoid loss of the curated set, the towers left as they are.

    Two numbers, fitted by L-BFGS on batches of the curated set (the loss is convex in them); the model gets them in place.

    Returns:
        scale, bias, and the loss before and after.
    """
    device = pick_device(settings.device)
    model: Any = clip.model.to(device).eval()
    rows = np.arange(min(SAMPLES, len(manifest)))
    images_nd, texts_nd, _ = embed_rows(clip, Towers.of(clip, device, settings.precision), manifest, rows)
    start = torch.full_like(model.logit_scale, -math.log(max(2, min(BATCH, len(rows))) - 1))
    batches = list(zip(images_nd.split(BATCH), texts_nd.split(BATCH), strict=True))
    found = fit_scale_and_bias(batches, model.logit_scale, start)
    with torch.no_grad():
        model.logit_scale.copy_(found.log_scale)
        model.logit_bias = torch.nn.Parameter(found.bias.clone())
    fitted = {"scale": float(found.log_scale.exp()), "bias": float(found.bias)}
    clip.config["model_cfg"]["init_logit_bias"] = fitted["bias"]
    return {**fitted, "loss_before": found.loss_before, "loss_after": found.loss_after}
