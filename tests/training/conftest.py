"""A tiny training job on synthetic pixels, with a fake reference: seconds, not minutes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from superbatch.data.fields import Field, Source, Stored
from superbatch.data.sampling import rows_aside
from superbatch.models import Vocabulary, build_model
from superbatch.options import (
    ONLINE,
    PROXY,
    AdaptSettings,
    ModelSettings,
    OnlineReferenceSettings,
    OptimizerSettings,
    SelectionSettings,
    ThenSettings,
    TrainingSettings,
)
from superbatch.tasks import Contrastive, Reference
from superbatch.tasks.contrastive import CACHED, IMAGE, TOKENS
from superbatch.tasks.learner import along_identity, model_identity
from superbatch.tasks.proxy import build_proxy, share_vocabulary
from superbatch.training import Job
from tests.tiny_model import tiny_model_cfg

ROWS = 60


def in_memory(values: np.ndarray) -> Field:
    """A field whose values live in memory."""
    return Stored(values.__getitem__, len(values))


def random_embeddings(rows: int, width: int = 16, seed: int = 1) -> dict[str, Field]:
    """A reference's embeddings of both sides, at random."""
    rng, found = np.random.default_rng(seed), {}
    for name in CACHED:
        values = rng.normal(size=(rows, width))
        found[name] = in_memory((values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32))
    return found


def write_model(path: Path, width: int) -> Path:
    config = {
        "model_cfg": tiny_model_cfg(width),
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
        final: float | None = None,
        then: ThenSettings | None = None,
        over: float = 1.0,
        adapt: AdaptSettings | None = None,
        online: OnlineReferenceSettings | None = None,
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
        selection = SelectionSettings(
            method, 0.75, criterion, 2, 10.0, stale, scorer, final, then, over, adapt, online_reference=online
        )
        clip = build_model(ModelSettings(config=str(model_file)), loss=training.loss, batch_size=4, seed=training.seed)
        rng = np.random.default_rng(0)
        images = rng.integers(0, 255, (ROWS, 3, 16, 16), dtype=np.uint8)
        captions = [f"a {word} number {n}" for n in range(ROWS // 2) for word in ("red", "blue")]
        ids = clip.tokenizer()(captions)
        vocabulary = Vocabulary.of(clip.model, ids.numpy())
        vocabulary.shrink(clip.model)
        evaluate = lambda clip: {"set/top1": float(clip.model.encode_text(clip.tokenizer()(["red"])).sum())}  # noqa: E731
        identity, along = {"sets": ["test"]}, {}
        for where, settings in selection.along.items():
            along[where] = build_proxy(settings, clip, training, str(model_file), where)
            identity |= along_identity(selection, where, model_identity(settings, along[where]))
            share_vocabulary(along[where], vocabulary, settings.config, where)
        fields = {IMAGE: in_memory(images), TOKENS: in_memory(vocabulary.to_compact(ids).numpy())}
        return Job(
            name,
            Contrastive(
                clip, training, selection, Reference(10.0, -1.0), along.get(PROXY), vocabulary, along.get(ONLINE)
            ),
            Source(fields | random_embeddings(ROWS), aside=rows_aside(selection, ROWS, training.seed)),
            training,
            selection,
            selection.largest(4),
            identity,
            tmp_path / state,
            evaluate,
        )

    return make
