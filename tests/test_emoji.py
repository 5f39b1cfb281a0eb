"""Shards of one's own, from the scripts in benchmarks/ to the report: a pool with shuffled captions, two foreign evaluation splits."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from pathlib import Path
from types import ModuleType

import pyarrow.parquet as pq
import pytest

from superbatch.data.writing import Sample
from tests.forked_kedro import forked_kedro
from tests.project import PROJECT, copy_project

SOURCE = PROJECT.parent / "shared" / "data" / "emoji"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    """Import a script of benchmarks/ as a module."""
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    return importlib.import_module


def emoji(number: int, name: str | None = None) -> Sample:
    record = {"name": name or f"thing {number}", "captions": [f"thing {number}", f"a drawing of thing {number}"]}
    return Sample(f"{number:04d}", {"png": b"", "txt": f"thing {number}".encode(), "json": json.dumps(record).encode()})


def captions(samples: list[Sample]) -> list[str]:
    return [sample.parts["txt"].decode() for sample in samples]


def test_shuffling_moves_just_the_share_and_loses_no_caption(script) -> None:
    shuffle = script("emoji_shuffle").shuffle_captions
    samples = [emoji(number) for number in range(200)]
    shuffled, kinds = shuffle(samples, 0.7, seed=3)
    moved = [a != b for a, b in zip(captions(samples), captions(shuffled), strict=True)]
    assert sum(moved) == 140
    assert kinds == ["mismatched" if there else "clean" for there in moved]
    assert sorted(captions(shuffled)) == sorted(captions(samples))
    assert [sample.key for sample in shuffled] == [sample.key for sample in samples]
    assert captions(shuffle(samples, 0.7, seed=3)[0]) == captions(shuffled)
    assert captions(shuffle(samples, 0.7, seed=4)[0]) != captions(shuffled)
    assert captions(samples) == [f"thing {number}" for number in range(200)], "the input is left alone"


def test_a_caption_that_moved_to_another_picture_of_the_same_thing_is_no_wrong_pair(script) -> None:
    _, kinds = script("emoji_shuffle").shuffle_captions([emoji(number, "star") for number in range(10)], 1.0, seed=0)
    assert kinds == ["clean"] * 10


def test_shards_survive_a_round_trip(script, tmp_path: Path) -> None:
    shuffle: ModuleType = script("emoji_shuffle")
    samples = [emoji(number) for number in range(1_005)]
    wrong = shuffle.write_pool(samples, tmp_path, 0.5, seed=0)
    shards = sorted((tmp_path / "pool").iterdir())
    assert [shard.name for shard in shards] == ["00000.tar", "00001.tar"]
    assert list(shuffle.read_samples(shards)) == shuffle.shuffle_captions(samples, 0.5, 0)[0]
    truth = pq.read_table(tmp_path / "truth" / "pool.parquet").to_pydict()
    assert truth["key"] == [sample.key for sample in samples]
    assert Counter(truth["kind"]) == {"mismatched": wrong, "clean": 1_005 - wrong}


def test_the_train_shards_are_divided_without_overlap(script) -> None:
    samples = [emoji(number, f"name {number // 2}") for number in range(100)]
    parts = script("emoji").divide(samples, curated=20, validation=30, seed=0)
    keys = [{sample.key for sample in part} for part in (parts.pool, parts.curated, parts.validation)]
    assert [len(part) for part in keys] == [50, 20, 30]
    assert len(set.union(*keys)) == 100
    names = [json.loads(sample.parts["json"])["name"] for sample in parts.validation]
    assert len(set(names)) == 30, "one picture a name"
    assert script("emoji").with_all_captions(samples[7]).parts["txt"] == b"thing 7\na drawing of thing 7"


@pytest.mark.real_data
@pytest.mark.skipif(not SOURCE.is_dir(), reason=f"no shards in {SOURCE}")
def test_a_few_steps_on_real_shards(script, tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    raw = project / "data" / "01_raw" / "emoji"
    counts = script("emoji").prepare(SOURCE, raw, curated=60, validation=40, limit=400)
    assert counts["pool"] == 300
    assert counts["test"] == 400
    assert 200 <= counts["mismatched"] <= 210
    learner = "learner.training.batch_size=16,learner.training.steps=4,learner.training.evaluate_every=2"
    small = f"{learner},reference.training.batch_size=16,reference.training.steps=4,ingest.jobs=1,embed.jobs=1"
    done = forked_kedro(project, "run", "--pipeline=jest", "--env=emoji", f"--params={small}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("Report: data/emoji/08_reporting/report.html")
    result = json.loads((project / "data/emoji/07_model_output/jest/evaluation/emoji.json").read_text())
    assert (result["kind"], result["split"], result["num_images"]) == ("retrieval", "test", 400)
    assert result["num_texts"] > 800
    assert 0 <= result["metrics"]["image_to_text_r1"] <= result["metrics"]["image_to_text_r10"] <= 1
    assert "mismatched" in (project / "data/emoji/08_reporting/report.html").read_text(), (
        "the truth beside the pool is found"
    )
    run = json.loads((project / "data/emoji/07_model_output/jest/training/run.json").read_text())
    assert (run["plan"]["rows"], run["plan"]["super_batch_size"]) == (300, 80)
