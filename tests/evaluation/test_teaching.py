"""Labelled images of other splits teach, the measured split never does, and embeddings are computed once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superbatch.data.ingest import ingest
from superbatch.evaluation import EvaluationSet, Evaluator, evaluate_to_files, load_evaluation_set
from superbatch.evaluation.encoder import SetEncoder
from superbatch.evaluation.store import ingest_evaluation_sets, load_evaluation_sets
from superbatch.evaluation.teaching import teaching_of, unseen
from superbatch.models import ClipModel
from superbatch.options import EvaluateSettings, FewShotSettings, KnnSettings

from .handmade import classification_samples, retrieval_samples, write_classification_root, write_shard, write_split

SETTINGS = EvaluateSettings(few_shot=FewShotSettings(shots=(1, 2), seeds=2), knn=KnnSettings(k=3))
FIRST = {"validation": 100, "train": 200, "test": 0}  # number of the first picture: no two splits share one


@pytest.fixture
def sets(tmp_path: Path) -> list[EvaluationSet]:
    """A classification set with three splits and a retrieval set with one."""
    root, pairs = write_classification_root(tmp_path / "colours"), tmp_path / "pairs"
    for split, first in FIRST.items():
        write_shard(root / split / "0.tar", classification_samples(16), first)
    write_split(pairs, "test", retrieval_samples(6, 2))
    (pairs / "dataset_type.txt").write_text("retrieval")
    ingest_evaluation_sets(
        {"colours": (root, {split: split for split in FIRST}), "pairs": (pairs, {"test": "test"})}, tmp_path / "sets"
    )
    return load_evaluation_sets(tmp_path / "sets")


def of(sets: list[EvaluationSet], *splits: str) -> list[EvaluationSet]:
    return [one for one in sets if one.name == "pairs" or one.split in splits]


def measured(sets: list[EvaluationSet], tiny: ClipModel, out: Path, settings: EvaluateSettings = SETTINGS) -> Any:
    evaluator = Evaluator.for_model(sets, tiny, "cpu")
    found = evaluate_to_files(
        evaluator, tiny.model, "test", out, checkpoint="abc", model_name="tiny", settings=settings
    )
    return found, json.loads((out / "colours.json").read_text())


def test_train_teaches_where_there_is_one_and_validation_chooses(sets: list[EvaluationSet]) -> None:
    test, pairs = of(sets, "test")
    assert test.split == "test" and teaching_of(pairs, sets) is None
    found = teaching_of(test, sets)
    assert found is not None and found.choose is not None
    assert (found.train.split, found.choose.split) == ("train", "validation")
    found = teaching_of(test, of(sets, "test", "validation"))
    assert found is not None and (found.train.split, found.choose) == ("validation", None)
    assert teaching_of(test, of(sets, "test")) is None
    validation = next(one for one in sets if one.split == "validation")
    found = teaching_of(validation, of(sets, "test", "validation"))
    assert found is None, "what is measured does not teach itself"


def test_results_have_them_beside_zero_shot(sets: list[EvaluationSet], tiny: ClipModel, tmp_path: Path) -> None:
    found, result = measured(sets, tiny, tmp_path)
    names = {"few_shot_1", "few_shot_2", "linear_probe", "knn"}
    assert names < set(result["metrics"]) and names < set(result["hits"]) and names < set(result["confidence"])
    assert found["metrics"]["colours/knn"] == result["metrics"]["knn"] and result["main"] == result["metrics"]["top1"]
    about = result["learned"]
    assert (about["split"], about["train_images"], about["choose_images"]) == ("train", 16, 16)
    assert about["also_measured"] == 0 and result["taught"]["knn"] == {"k": 3, "temperature": 0.07}
    assert result["metrics"]["linear_probe"] > 0.5, "four colours are told apart by a linear classifier of any features"
    assert "learned" not in json.loads((tmp_path / "pairs.json").read_text())
    without, plain = measured(of(sets, "test"), tiny, tmp_path / "without")
    assert set(plain["metrics"]) == {"top1", "top5", "mean_per_class"}
    assert {name: found["metrics"][name] for name in without["metrics"]} == without["metrics"]


def test_other_teachers_or_settings_are_measured_again(
    sets: list[EvaluationSet], tiny: ClipModel, tmp_path: Path
) -> None:
    assert measured(sets, tiny, tmp_path)[0]["skipped"] == []
    assert measured(sets, tiny, tmp_path)[0]["skipped"] == ["colours", "pairs"]
    assert measured(of(sets, "test", "train"), tiny, tmp_path)[0]["skipped"] == ["pairs"]
    other = EvaluateSettings(few_shot=None, knn=KnnSettings(k=3))
    assert measured(of(sets, "test", "train"), tiny, tmp_path, other)[0]["skipped"] == ["pairs"]


def test_each_split_is_embedded_once(
    sets: list[EvaluationSet], tiny: ClipModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[tuple[str, str]] = []
    inner: Callable[..., Any] = SetEncoder.images

    def counted(self: SetEncoder, model: Any, one: EvaluationSet) -> Any:
        embedded.append((one.name, one.split))
        return inner(self, model, one)

    monkeypatch.setattr(SetEncoder, "images", counted)
    measured(sets, tiny, tmp_path)
    assert sorted(embedded) == [("colours", "test"), ("colours", "train"), ("colours", "validation"), ("pairs", "test")]


def test_images_that_are_measured_do_not_teach(tmp_path: Path, tiny: ClipModel) -> None:
    """As where one split is named twice, for want of another."""
    root = write_classification_root(tmp_path / "colours")
    write_shard(root / "test" / "0.tar", classification_samples(16))
    write_shard(root / "more" / "0.tar", classification_samples(24), first=4)  # 12 of the test's pictures, 12 others
    sets = []
    for split, folder in (("test", "test"), ("validation", "test"), ("train", "more")):
        ingest([root / folder / "0.tar"], tmp_path / split)
        sets.append(load_evaluation_set(tmp_path / split, root, split=split, folder=folder))
    assert not unseen(sets[1], sets[0]).any()
    np.testing.assert_array_equal(unseen(sets[2], sets[0]), np.arange(4, 28) >= 16)
    _, result = measured(sets[:2], tiny, tmp_path / "twice")
    assert "knn" not in result["metrics"] and result["learned"]["also_measured"] == 16
    assert "0 labelled images of 0 classes are too few" in result["learned"]["left_out"]["linear_probe"]
    _, result = measured(sets, tiny, tmp_path / "some")
    about = result["learned"]
    assert (about["train_images"], about["choose_images"], about["also_measured"]) == (12, 0, 28)
    assert "knn" in result["metrics"] and "linear_probe" in result["metrics"]
