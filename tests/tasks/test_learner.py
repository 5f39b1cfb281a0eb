"""What of a learner's settings decides its run hash."""

from __future__ import annotations

import dataclasses
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from superbatch.bounds import Settings
from superbatch.data.ingest import ingest
from superbatch.data.writing import Sample, write_shard
from superbatch.models import build_model, save_checkpoint
from superbatch.options import (
    DistillSettings,
    EmbedSettings,
    FlexiSettings,
    LearnerSettings,
    LowSettings,
    MoclrSettings,
    ModelSettings,
    PoolSettings,
    SelectionSettings,
    TrainingSettings,
)
from superbatch.tasks import SetFiles, embed, learner_job
from superbatch.tasks.image_jobs import moclr_job
from superbatch.tasks.learner import COUNTED
from tests.tiny_model import tiny_model_cfg

ROWS = 12
TRAINING = TrainingSettings(batch_size=2, steps=2, device="cpu")
CHANGES: dict[str, Any] = {
    "pool": PoolSettings(keep_share=0.5),
    "selection": SelectionSettings("independent", criterion="hard_learner", num_chunks=1),
    "training": replace(TRAINING, seed=1),
    "warm_start": True,
    "flexi": FlexiSettings(LowSettings(patch_drop=0.5)),
    "distill": DistillSettings(),
}
BY_CONTENT = {"reference"}  # its name decides nothing
BY_OTHER_JOBS = {"labels", "moclr"}  # tests/tasks/test_label_jobs.py, test_image_jobs.py


@dataclass(frozen=True)
class BrevitySettings(Settings, section="brevity"):
    """A block of a method of one's own."""

    words: int = 8


@dataclass(frozen=True)
class OwnSettings(LearnerSettings, section="learner"):
    """A learner's settings with that block."""

    brevity: BrevitySettings | None = None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool, a model's configuration and a reference that embedded the pool."""
    folder, rng, samples = tmp_path_factory.mktemp("learner"), np.random.default_rng(0), []
    for number in range(ROWS):
        stream = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(stream, "PNG")
        samples.append(Sample(f"{number:03d}", {"png": stream.getvalue(), "txt": f"number {number}".encode()}))
    write_shard(folder / "00000.tar", samples)
    ingest([folder / "00000.tar"], folder / "set")
    (folder / "model.json").write_text(json.dumps({"model_cfg": tiny_model_cfg()}))
    save_checkpoint(folder / "reference", build_model(model_of(folder), loss="sigmoid", batch_size=2, seed=5), {})
    embed(
        SetFiles(folder / "set", folder / "features"),
        folder / "reference",
        settings=EmbedSettings(device="cpu", jobs=1),
    )
    return folder


def model_of(folder: Path, **changes: Any) -> ModelSettings:
    return ModelSettings(config=str(folder / "model.json"), **changes)


def run_hash(folder: Path, kind: type[LearnerSettings] = LearnerSettings, make: Any = None, **changes: Any) -> str:
    settings = kind(**{"model": model_of(folder), "training": TRAINING} | changes)
    pool = SetFiles(folder / "set", folder / "features")
    if make is not None:
        return str(make("own", settings, pool, folder / "state").run_hash)
    return learner_job("own", settings, pool, folder / "state", reference_dir=folder / "reference").run_hash


def test_every_setting_of_a_learner_decides_its_hash(folder: Path) -> None:
    names = {field.name for field in dataclasses.fields(LearnerSettings)}
    assert names == CHANGES.keys() | {"model"} | BY_CONTENT | BY_OTHER_JOBS
    assert names == COUNTED, "a new field counts by itself, unless it is named there"
    changes = CHANGES | {"model": model_of(folder, compact_vocabulary=False)}
    hashes = {name: run_hash(folder, **{name: value}) for name, value in changes.items()}
    assert len({*hashes.values(), run_hash(folder)}) == len(hashes) + 1, hashes


def test_a_block_of_one_s_own_counts_where_it_is_not_as_usual(folder: Path) -> None:
    def hashes(**changes: Any) -> list[str]:
        blocks = (None, BrevitySettings(), BrevitySettings(words=3))
        return [run_hash(folder, OwnSettings, brevity=block, **changes) for block in blocks]

    usual, *own = hashes()
    assert usual == run_hash(folder) and len({usual, *own}) == 3
    images = {"moclr": MoclrSettings(), "training": replace(TRAINING, loss="softmax"), "make": moclr_job}
    usual, *own = hashes(**images)
    assert usual == run_hash(folder, **images) and len({usual, *own}) == 3
