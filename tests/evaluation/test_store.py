"""Evaluation sets from their roots to one ingested folder, and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from superbatch.errors import UserError
from superbatch.evaluation import Evaluator, ingest_evaluation_sets, load_evaluation_sets
from superbatch.evaluation.store import SPLITS
from superbatch.models import ClipModel

from .handmade import CLASSNAMES, classification_samples, retrieval_samples, write_classification_root, write_split


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Both kinds of sets, ingested; the classification samples have no captions, one retrieval sample neither."""
    colours = write_classification_root(tmp_path / "colours")
    plain = [(key, {"cls": members["cls"]}) for key, members in classification_samples(24)]
    write_split(colours, "validation", plain[:8])
    write_split(colours, "test", plain)
    pairs = tmp_path / "pairs"
    write_split(pairs, "held-out", [*retrieval_samples(10, 3), ("mute", {})])
    (pairs / "dataset_type.txt").write_text("retrieval\n")
    sets = {"classification": (colours, SPLITS), "retrieval": (pairs, {"test": "held-out"})}
    ingest_evaluation_sets(sets, tmp_path / "sets", min_rows=5)
    return tmp_path / "sets"


def test_what_was_ingested_can_be_loaded(folder: Path) -> None:
    found = {(s.name, s.split): s for s in load_evaluation_sets(folder)}
    assert set(found) == {("classification", "validation"), ("classification", "test"), ("retrieval", "test")}
    assert found["classification", "test"].num_images == 24
    assert found["classification", "test"].classnames == tuple(CLASSNAMES)
    assert (found["retrieval", "test"].num_images, len(found["retrieval", "test"].captions)) == (10, 30)
    assert [s.name for s in load_evaluation_sets(folder, "validation")] == ["classification"]


def test_splits_may_be_a_list(folder: Path) -> None:
    sets = json.loads((folder / "sets.json").read_text())
    sets["classification"]["splits"] = ["validation", "test"]
    (folder / "sets.json").write_text(json.dumps(sets))
    assert len(load_evaluation_sets(folder)) == 3


def test_an_evaluator_opens_the_folder(folder: Path, tiny: ClipModel) -> None:
    metrics = Evaluator.for_model(folder, tiny, "cpu", split="test").evaluate(tiny.model, "test")["metrics"]
    assert {"classification/top1", "retrieval/text_to_image_r1", "headline"} <= set(metrics)


def test_no_sets(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere/sets.json: no such file"):
        load_evaluation_sets(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no evaluation set with a split 'train'"):
        load_evaluation_sets(folder, "train")


def test_missing_class_names_stop_the_ingestion(tmp_path: Path) -> None:
    root = write_classification_root(tmp_path / "colours")
    write_split(root, "test", classification_samples(8))
    (root / "classnames.txt").unlink()
    with pytest.raises(UserError, match=r"colours/classnames.txt: missing"):
        ingest_evaluation_sets({"colours": (root, {"test": "test"})}, tmp_path / "sets")
