"""A method that the engine has never heard of: a classifier of images by their captions' last word, trained on what it finds hard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from superbatch.artifacts.fingerprints import file_sha256
from superbatch.data.fields import Batch, Source, Stored
from superbatch.data.manifest import read_manifest
from superbatch.data.reader import ImageReader
from superbatch.losses import cross_entropy_term
from superbatch.options import Rule, SelectionSettings, TrainingSettings
from superbatch.training import Job, Model, Reads, SampleScores, Task
from superbatch.training.flops import Forwards

SIDE = 16


class CaptionLabels(Task):
    """Cross-entropy over labels; a sample's score is its loss."""

    reads = Reads(training=("image", "label"), scoring=("image", "label"), score="loss")

    def __init__(self, classes: int, seed: int) -> None:
        torch.manual_seed(seed)
        layers = nn.Linear(3 * SIDE**2, 32), nn.Dropout(0.2), nn.GELU(), nn.Linear(32, classes)
        self.classifier = nn.Sequential(nn.Flatten(), *layers)
        self.models = {"learner": Model(self.classifier)}

    def place(self, device: torch.device, settings: TrainingSettings) -> None:
        self.classifier.to(device)

    def scores(self, batch: Batch, rule: Rule) -> SampleScores:
        logits = self.outputs("learner", batch)["logits"]
        return SampleScores(functional.cross_entropy(logits, batch["label"], reduction="none"))

    def outputs(self, model: str, batch: Batch) -> dict[str, Tensor]:
        return {"logits": self.classifier(batch["image"].float() / 255)}

    def loss(self, model, outputs, batch, peers) -> Tensor:
        return cross_entropy_term(outputs["logits"], batch["label"], peers)

    def row_losses(self, model: str, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = self.outputs(model, batch)["logits"]
        return functional.cross_entropy(logits, batch["label"], reduction="none"), logits.isfinite().all(1)

    def forwards(self) -> Forwards:
        operations = float(sum(2 * p.numel() for p in self.classifier.parameters() if p.ndim == 2))
        return Forwards({"learner": operations}, scored=operations, reused=operations)

    def facts(self) -> dict[str, float]:
        return {"weight_norm": float(self.classifier[1].weight.norm())}

    def save(self, directory: Path, metadata: dict[str, Any]) -> str:
        directory.mkdir(parents=True, exist_ok=True)
        save_file(self.classifier.state_dict(), directory / "classifier.safetensors")
        return file_sha256(directory / "classifier.safetensors")


def caption_labels_job(folder: Path, state: Path, **changes: Any) -> Job:
    """Train on an ingested set, a quarter of each super-batch."""
    manifest = read_manifest(folder)
    _, labels = np.unique([caption.split()[-1] for caption in manifest.first_captions()], return_inverse=True)
    rows, identity = len(manifest), {"task": "labels", "sets": [manifest.fingerprint]}
    fields = {"image": Stored(ImageReader(manifest, SIDE).read, rows), "label": Stored(labels.__getitem__, rows)}
    training = TrainingSettings(**{"batch_size": 6, "steps": 12, "checkpoint_every": 3, "threads": 1, **changes})
    rule = SelectionSettings("independent", 0.75, gain=2.0)
    task = CaptionLabels(int(labels.max()) + 1, training.seed)
    return Job("labels", task, Source(fields), training, rule, 24, identity, state)
