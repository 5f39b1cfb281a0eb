"""What a reference of labels leaves of a set in the place of embeddings: its loss of each row.

Legend: N rows.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from superbatch.data.labels import NO_LABEL
from superbatch.data.manifest import Manifest
from superbatch.data.reader import Pixels
from superbatch.models import pick_device, read_metadata
from superbatch.models.classifier import Classifier, load_classifier
from superbatch.models.cost import count_forward
from superbatch.models.towers import Towers
from superbatch.options import EmbedSettings
from superbatch.progress import progress
from superbatch.tasks.labels import LOSSES, Labels, losses_fingerprint
from superbatch.tasks.view import View, open_pixels


@torch.inference_mode()
def row_losses(
    classifier: Classifier, pixels: Pixels, label_N: np.ndarray, *, name: str, batch: int, device: str
) -> np.ndarray:
    """Return a classifier's cross-entropy of each row, without smoothing, float32 (N,); NaN where a row has no label."""
    place = pick_device(device)
    classifier.to(place).eval()
    towers = Towers.of(classifier.clip, place, "auto")
    losses_N = np.full(len(label_N), np.nan, np.float32)
    rows = np.flatnonzero(label_N != NO_LABEL)
    starts = range(0, len(rows), batch)
    for start in progress(starts, description=f"losses of {name}", unit="batch"):
        some = rows[start : start + batch]
        logits = classifier.logits(towers.images(torch.from_numpy(pixels.read(some)).to(place)))
        found = cross_entropy(logits, torch.from_numpy(label_N[some]).to(place), reduction="none")
        losses_N[some] = found.cpu().numpy()
    return losses_N


def write_losses(
    reference_dir: Path, manifest: Manifest, out: Path, settings: EmbedSettings, name: str
) -> dict[str, object]:
    """Write the losses of a set by a reference of labels; returns what `features.json` says of them.

    Args:
        reference_dir: its checkpoint.
        manifest: of the set. out: its features, with the packed pixels in the reference's view where there are any.
        settings: batch and device. name: of the set, for the progress bar.
    """
    labels, classifier = Labels.of_classifier(reference_dir), load_classifier(reference_dir)
    start = time.perf_counter()
    label_N = labels.rows(manifest)
    pixels = open_pixels(View.of(classifier.clip), manifest, out)
    losses_N = row_losses(classifier, pixels, label_N, name=name, batch=settings.batch, device=settings.device)
    np.save(out / LOSSES, losses_N)
    labelled = int(np.isfinite(losses_N).sum())
    forward = count_forward(classifier.clip).image + 2.0 * classifier.weight.numel()
    return {
        "fingerprint": losses_fingerprint(reference_dir, manifest, labels),
        "reference": read_metadata(reference_dir)["weights_sha256"],
        "manifest": manifest.fingerprint,
        "rows": len(manifest),
        "labelled": labelled,
        "flops": forward * labelled,
        "seconds": round(time.perf_counter() - start, 3),
    }
