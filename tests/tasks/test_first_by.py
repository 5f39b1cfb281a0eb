"""A learner whose rows join by the rarity of their captions: the first batches, a resumed run, and its hash."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superbatch.data.ingest import ingest
from superbatch.data.manifest import read_manifest
from superbatch.data.writing import Sample, write_shard
from superbatch.options import LearnerSettings, ModelSettings, SelectionSettings, TrainingSettings
from superbatch.reporting.families import tuned_words
from superbatch.reporting.runs import Run
from superbatch.tasks import SetFiles, learner_job
from superbatch.training import train
from superbatch.training.job import Job
from tests.tiny_model import tiny_model_cfg
from tests.training.training_helpers import Killed, kill_after, outcome

ROWS, COMMON = 60, 12
HOW = {"batch_size": 6, "steps": 8, "first_share": 0.2, "grows_over": 0.5, "checkpoint_every": 2, "device": "cpu"}


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Every fifth row is a cat, the others have names that no other row has."""
    rng, samples = np.random.default_rng(0), []
    for number in range(ROWS):
        stream = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(stream, "PNG")
        name = "cat" if number % 5 == 0 else f"the only one of number {number}"
        samples.append(Sample(f"{number:03d}", {"png": stream.getvalue(), "txt": name.encode()}))
    write_shard(tmp_path / "00000.tar", samples)
    ingest([tmp_path / "00000.tar"], tmp_path / "set")
    return tmp_path / "set"


def job_of(pool: Path, state: str = "state", **changes) -> Job:
    (pool.parent / "learner.json").write_text(json.dumps({"model_cfg": tiny_model_cfg()}))
    settings = LearnerSettings(
        ModelSettings(config=str(pool.parent / "learner.json")),
        selection=SelectionSettings("uniform"),
        training=TrainingSettings(**HOW | changes),
    )
    return learner_job("mine", settings, SetFiles(pool), pool.parent / state)


def test_it_begins_with_common_captions_and_comes_to_all(pool: Path) -> None:
    job, captions = job_of(pool, first_by="rarity"), read_manifest(pool).first_captions()
    seen = [job.source.manifest_rows(job.order.rows(step)) for step in range(HOW["steps"])]
    assert {captions[row] for row in np.concatenate(seen[:1])} == {"cat"}
    assert sorted(job.source.rows) == list(range(ROWS)) and len(set(np.concatenate(seen))) > 2 * COMMON


def test_killed_while_rows_join_is_never_killed(pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    never = train(job_of(pool, "never", first_by="rarity"))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 3)
        train(job_of(pool, "killed", first_by="rarity"))
    assert outcome(train(job_of(pool, "killed", first_by="rarity"))) == outcome(never)
    assert "20 % of the rows first by rarity, all after 50 %" in tuned_words(Run(never.training_dir.parent))


def test_it_is_another_run_than_one_by_chance_which_has_its_old_hash(pool: Path) -> None:
    by_chance = job_of(pool)
    assert by_chance.source.rows is None and "first_by" not in by_chance.full_identity["training"]
    assert job_of(pool, first_by="rarity").run_hash != by_chance.run_hash
    assert (
        job_of(pool, first_share=1.0).run_hash
        == replace(by_chance, training=TrainingSettings(**HOW | {"first_share": 1.0})).run_hash
    )
