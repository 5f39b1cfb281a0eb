"""A tiny training job on synthetic pixels, with a fake reference: seconds, not minutes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from superbatch.models import build_model
from superbatch.options import ModelSettings, OptimizerSettings, SelectionSettings, TrainingSettings
from superbatch.training import Job, Reference
from superbatch.training.assemble import build_proxy, compact, model_identity, share_vocabulary
from superbatch.training.source import Source

ROWS = 60


class ArrayPixels:
    """Images that live in memory."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self.images[rows]


class ArrayEmbeddings:
    """Reference embeddings that live in memory."""

    def __init__(self, rows: int, width: int = 16) -> None:
        rng = np.random.default_rng(1)
        self.image, self.text = (self._unit(rng.normal(size=(rows, width))) for _ in range(2))

    @staticmethod
    def _unit(values: np.ndarray) -> np.ndarray:
        return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)

    def rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.image[rows], self.text[rows]


def write_model(path: Path, width: int) -> Path:
    config = {
        "model_cfg": {
            "embed_dim": width // 2,
            "vision_cfg": {"image_size": 16, "patch_size": 8, "width": width, "layers": 1, "head_width": 16},
            "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": width, "heads": 2, "layers": 1},
        },
        "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    }
    path.write_text(json.dumps(config))
    return path


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.json", 32)


@pytest.fixture
def proxy_file(tmp_path: Path) -> Path:
    return write_model(tmp_path / "proxy.json", 16)


@pytest.fixture
def make_job(model_file: Path, tmp_path: Path):
    """Return a function that makes the same job anew, from its first weights; `proxy` is the file of a proxy's configuration."""

    def make(
        method: str = "joint",
        state: str = "state",
        name: str = "job",
        stale: int = 0,
        proxy: Path | None = None,
        criterion: str = "learnability",
        **changes,
    ) -> Job:
        torch.manual_seed(99)  # whatever the global state is, a run does not depend on it
        options = {
            "batch_size": 4,
            "steps": 12,
            "checkpoint_every": 4,
            "evaluate_every": 5,
            "threads": 1,
            "optimizer": OptimizerSettings(learning_rate=3e-3),
        }
        training = TrainingSettings(**{**options, **changes})
        scorer = ModelSettings(config=str(proxy)) if proxy else None
        selection = SelectionSettings(method, 0.75, criterion, 2, 10.0, stale, scorer)
        clip = build_model(ModelSettings(config=str(model_file)), loss=training.loss, batch_size=4, seed=training.seed)
        rng = np.random.default_rng(0)
        images = rng.integers(0, 255, (ROWS, 3, 16, 16), dtype=np.uint8)
        captions = [f"a {word} number {n}" for n in range(ROWS // 2) for word in ("red", "blue")]
        source, vocabulary = compact(clip, Source(ArrayPixels(images), clip.tokenizer()(captions)), True)
        size = 4 if method == "uniform" else 16
        reference = Reference(ArrayEmbeddings(ROWS), 10.0, -1.0)
        evaluate = lambda clip: {"set/top1": float(clip.model.encode_text(clip.tokenizer()(["red"])).sum())}  # noqa: E731
        identity, small = {"sets": ["test"]}, None
        if scorer is not None:
            small = build_proxy(scorer, clip, training, str(model_file))
            identity["proxy"] = model_identity(scorer, small)
            share_vocabulary(small, vocabulary, str(proxy))
        return Job(
            name,
            clip,
            source,
            training,
            selection,
            size,
            identity,
            tmp_path / state,
            vocabulary,
            reference,
            evaluate,
            proxy=small,
        )

    return make
