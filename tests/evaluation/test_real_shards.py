"""Emoji and Fashion-MNIST, from the scripts in benchmarks/, through one evaluation: retrieval with several captions, and labelled images."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest

from superbatch.data.ingest import ingest
from superbatch.data.labels import labels_of_captions
from superbatch.data.manifest import read_manifest
from superbatch.evaluation import Evaluator, evaluate_to_files
from superbatch.evaluation.prompts import classnames_in
from superbatch.evaluation.store import ingest_evaluation_sets
from superbatch.models import ClipModel
from superbatch.models.build import instantiate
from superbatch.options import EvaluateSettings
from tests.project import PROJECT

SOURCE = PROJECT.parent / "shared" / "data"
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not (SOURCE / "fashion-mnist").is_dir(), reason=f"no shards in {SOURCE}"),
]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    """Import a script of benchmarks/ as a module."""
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def untrained() -> ClipModel:
    """The tiny model of conf/, with random weights."""
    config = json.loads((PROJECT / "conf" / "models" / "tiny.json").read_text())
    return ClipModel(instantiate(config, seed=0), config, "SimpleTokenizer")


def test_one_evaluation_for_both(script, untrained: ClipModel, tmp_path: Path) -> None:
    fashion: ModuleType = script("fashion")
    counts = fashion.prepare(
        SOURCE / "fashion-mnist",
        tmp_path / "fashion",
        sizes={"curated": 50, "train": 600, "validation": 200},
        limit=1_000,
    )
    assert (counts["pool"], counts["test"]) == (150, 1_000) and 50 < counts["mismatched"] <= 75
    script("emoji").prepare(SOURCE / "emoji", tmp_path / "emoji", curated=20, validation=40, limit=300)
    splits = {split: split for split in ("train", "validation", "test")}
    roots = {name: tmp_path / name / "evaluation" for name in ("fashion", "emoji")}
    ingest_evaluation_sets(
        {"fashion": (roots["fashion"], splits), "emoji": (roots["emoji"], {"test": "test"})}, tmp_path / "sets"
    )
    evaluator = Evaluator.for_model(tmp_path / "sets", untrained, "cpu")
    about = {"checkpoint": "random", "model_name": "untrained", "settings": EvaluateSettings()}
    found = evaluate_to_files(evaluator, untrained.model, "test", tmp_path / "out", **about)["sets"]
    metrics, chance = found["fashion"]["metrics"], 0.1
    assert abs(metrics["top1"] - chance) < 0.1, "an untrained model knows no names"
    ladder = [metrics[f"few_shot_{k}"] for k in (1, 5, 10)]
    assert ladder == sorted(ladder) and ladder[0] > 2 * chance, "but its embeddings tell clothes apart"
    assert metrics["linear_probe"] > ladder[-1] and metrics["knn"] > ladder[0]
    assert found["fashion"]["learned"]["left_out"] == {} and found["fashion"]["learned"]["split"] == "train"
    emoji = found["emoji"]
    assert emoji["num_texts"] > 2 * emoji["num_images"] and "learned" not in emoji
    assert emoji["metrics"]["text_to_image_r1"] <= emoji["metrics"]["text_to_image_r10"] < 0.5
    queries = emoji["texts_an_image"]
    assert len(queries) == 300 and sum(queries) == emoji["num_texts"]


def test_four_labels_in_ten_are_wrong(script, tmp_path: Path) -> None:
    """Each of the other classes as often; captions go with the labels, and the truth is kept."""
    out, sizes = tmp_path / "labels", {"curated": 50, "train": 600, "validation": 200}
    counts = script("fashion_labels").prepare(SOURCE / "fashion-mnist", out, sizes=sizes, limit=1_500)
    assert counts["pool"] == 650 and counts["wrong"] == 260
    for name in ("pool", "curated"):
        ingest(sorted((out / name).glob("*.tar")), tmp_path / name)
    names = classnames_in(out / "evaluation" / "classnames.txt")
    pool, curated = (read_manifest(tmp_path / name) for name in ("pool", "curated"))
    true = np.array([json.loads(text)["label"] for text in pool.column("source").to_pylist()])
    wrong = pool.labels != true
    kinds = pq.read_table(out / "truth" / "pool.parquet").to_pydict()
    assert wrong.sum() == 260 and {
        key for key, kind in zip(*kinds.values(), strict=True) if kind == "mismatched"
    } == set(np.array(pool.keys)[wrong])
    assert labels_of_captions(pool.first_captions(), names).tolist() == pool.labels.tolist()
    assert np.bincount((pool.labels - true)[wrong] % 10, minlength=10)[1:].min() > 10
    assert labels_of_captions(curated.first_captions(), names).tolist() == curated.labels.tolist()
