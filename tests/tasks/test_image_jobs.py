"""From an ingested set to a learner on images alone: what it reads, what names it, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from superbatch.data.ingest import ingest
from superbatch.data.writing import Sample, encode_image, write_shard
from superbatch.errors import UserError
from superbatch.models.headed import is_image_only
from superbatch.options import (
    AugmentSettings,
    DistillSettings,
    LabelSettings,
    LearnerSettings,
    MoclrSettings,
    ModelSettings,
    PoolSettings,
    ReferenceSettings,
    SelectionSettings,
    TrainingSettings,
)
from superbatch.tasks import SetFiles, import_reference
from superbatch.tasks.cached import require_pairs
from superbatch.tasks.image_jobs import moclr_job
from superbatch.training import train
from tests.tiny_model import tiny_model_cfg

POOL, CURATED = 40, 10


def write_set(folder: Path, rows: int) -> Path:
    """Pictures of three tints; no one has a caption that says anything."""
    rng, samples = np.random.default_rng(rows), []
    for row in range(rows):
        pixels = rng.integers(0, 120, (16, 16, 3), np.uint8)
        pixels[..., row % 3] += 100
        samples.append(Sample(f"{row:03d}", {"png": encode_image(pixels, "png"), "txt": b"a picture"}))
    write_shard(folder / "00000.tar", samples)
    ingest([folder / "00000.tar"], folder / "set")
    return folder / "set"


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[SetFiles, SetFiles]:
    folder = tmp_path_factory.mktemp("pictures")
    return SetFiles(write_set(folder / "pool", POOL)), SetFiles(write_set(folder / "curated", CURATED))


@pytest.fixture
def settings(tmp_path: Path) -> LearnerSettings:
    (tmp_path / "model.json").write_text(json.dumps({"model_cfg": tiny_model_cfg()}))
    training = TrainingSettings(batch_size=8, steps=3, loss="softmax", device="cpu", threads=1, evaluate_every=3)
    moclr = MoclrSettings(hidden=8, projection=4)
    return LearnerSettings(ModelSettings(config=str(tmp_path / "model.json")), training=training, moclr=moclr)


def test_a_learner_trains_on_the_pool_or_on_some_of_it(sets, settings, tmp_path):
    pool, curated = sets
    whole = train(moclr_job("moclr", settings, pool, tmp_path / "state"))
    assert is_image_only(whole.model_dir) and whole.summary["plan"]["rows"] == POOL
    assert whole.summary["settings"]["moclr"]["augment"]["min_area"] == 0.2
    rows = np.arange(3, POOL, 3)
    some = moclr_job("some", settings, pool, tmp_path / "state", rows=rows)
    assert set(some.source.manifest_rows(np.arange(some.source.num_rows)).tolist()) == set(rows.tolist())
    both = replace(settings, pool=PoolSettings(add_curated=True))
    assert moclr_job("both", both, pool, tmp_path / "state", curated=curated).source.num_rows == POOL + CURATED
    with pytest.raises(
        UserError, match="learner.reference: was trained on images alone, which say nothing about pairs"
    ):
        require_pairs(whole.model_dir)
    wanted = ReferenceSettings(settings.model, settings.training, import_from=str(whole.model_dir))
    with pytest.raises(
        UserError, match="reference.import_from: .* was trained without texts, so it says nothing about"
    ):
        import_reference(wanted, curated, tmp_path / "stages", lambda clip: {})


def test_it_starts_from_a_checkpoint(sets, settings, tmp_path):
    first = train(moclr_job("moclr", settings, sets[0], tmp_path / "state"))
    again = replace(settings, model=replace(settings.model, pretrained=str(first.model_dir)))
    job = moclr_job("again", again, sets[0], tmp_path / "state")
    fresh = moclr_job("fresh", settings, sets[0], tmp_path / "state")
    weights = [next(one.task.learner.visual.parameters()) for one in (job, fresh)]
    assert not torch.equal(*weights) and job.run_hash != fresh.run_hash
    assert torch.equal(next(job.task.target.visual.parameters()), weights[0]), "the target starts there too"


def test_what_decides_the_outcome_is_in_the_hash(sets, settings, tmp_path):
    others = [
        settings,
        replace(settings, moclr=replace(settings.moclr, momentum=0.9)),
        replace(settings, moclr=replace(settings.moclr, augment=AugmentSettings(flip=0))),
        replace(settings, training=replace(settings.training, seed=1)),
    ]
    hashes = [moclr_job("a", one, sets[0], tmp_path / "state").run_hash for one in others]
    hashes += [moclr_job("a", settings, sets[0], tmp_path, rows=np.arange(first, 20)).run_hash for first in (0, 1)]
    hashes.append(moclr_job("a", settings, sets[1], tmp_path / "state").run_hash)
    assert len(set(hashes)) == 7


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"training": TrainingSettings()}, "training.loss: is sigmoid, and InfoNCE is a softmax; set it to softmax"),
        ({"labels": LabelSettings("names.txt")}, "labels: are not used with moclr"),
        ({"distill": DistillSettings()}, "distill: is of pairs, and moclr is set"),
        ({"warm_start": True}, "warm_start: takes a reference of pairs"),
        ({"pool": PoolSettings(keep_share=0.5)}, "pool: is filtered by scores of pairs"),
        ({"selection": SelectionSettings("joint")}, "selection.method: is joint, and moclr has no scores to choose by"),
    ],
)
def test_settings_of_pairs_are_refused(settings, changes, line):
    with pytest.raises(UserError, match=line):
        replace(settings, **changes)
