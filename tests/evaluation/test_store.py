"""Evaluation sets from their roots to one ingested folder, and back."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import pytest

from superbatch.errors import UserError
from superbatch.evaluation import Evaluator, ingest_evaluation_sets, load_evaluation_sets, split_shards
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


def test_class_numbers_without_names_and_captions_are_told(tmp_path: Path) -> None:
    """Not that captions are missing: the set was taken for one of captions only because it has no names of classes."""
    root = tmp_path / "colours"
    write_split(root, "test", [(key, {"cls": members["cls"]}) for key, members in classification_samples(8)])
    with pytest.raises(
        UserError, match=r"colours: has class numbers but no classnames.txt; write one class name a line"
    ):
        ingest_evaluation_sets({"colours": (root, {"test": "test"})}, tmp_path / "sets")
    (root / "dataset_type.txt").write_text("retrieval")
    with pytest.raises(UserError, match="caption_missing 8"):
        ingest_evaluation_sets({"colours": (root, {"test": "test"})}, tmp_path / "sets")


def test_sets_by_address_are_those_of_the_folder(tmp_path: Path, folder: Path, tiny: ClipModel) -> None:
    """What is measured is the same; class names and templates are kept, so that nothing but images is read from the store later."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for name in ("colours", "pairs"):
        memory.put(str(tmp_path / name), f"/evaluated/{name}", recursive=True)
    far = {
        "classification": ("memory://evaluated/colours", SPLITS),
        "retrieval": ("memory://evaluated/pairs/", {"test": "held-out"}),
    }
    ingest_evaluation_sets(far, tmp_path / "far", min_rows=5)
    names = {file.name for file in (tmp_path / "far" / "classification").iterdir()}
    assert names == {"validation", "test", "classnames.txt"} | {
        file.name for file in (tmp_path / "colours").glob("*.txt")
    }
    by_path, by_address = load_evaluation_sets(folder), load_evaluation_sets(tmp_path / "far")
    assert [one.fingerprint for one in by_address] == [one.fingerprint for one in by_path]
    assert all(one.manifest.objects for one in by_address)
    measured = [
        Evaluator.for_model(sets, tiny, "cpu", split="test").evaluate(tiny.model, "test")["metrics"]
        for sets in (folder, tmp_path / "far")
    ]
    assert measured[0] == measured[1]


def test_splits_of_a_store(tmp_path: Path, folder: Path) -> None:
    memory, root = fsspec.filesystem("memory"), "memory://evaluated/split"
    memory.store.clear()
    for name in ("0.tar", "1.tar", "10.tar", "2.tar", "x.txt"):
        memory.pipe(f"/evaluated/split/test/{name}", b"")
    listed = [f"memory://evaluated/split/test/{name}.tar" for name in (0, 1, 10, 2)]
    assert [str(shard) for shard in split_shards(root, "test")] == listed
    assert [str(shard) for shard in split_shards(root, "test/{0..1}.tar")] == listed[:2]
    memory.pipe("/evaluated/split/test/nshards.txt", b"3\n")
    assert [str(shard)[-5:] for shard in split_shards(root, "test")] == ["0.tar", "1.tar", "2.tar"]
    memory.pipe("/evaluated/split/test/nshards.txt", b"4")
    with pytest.raises(
        UserError, match=r"^memory://evaluated/split/test/3\.tar: missing, though nshards\.txt counts 4"
    ):
        split_shards(root, "test")
    memory.pipe("/evaluated/split/empty/x.txt", b"")
    with pytest.raises(UserError, match=r"^memory://evaluated/split/empty: has no \.tar file; put the split's shards"):
        split_shards(root, "empty")
    with pytest.raises(UserError, match=r"^memory://evaluated/split/none: no such object; correct the address"):
        split_shards(root, "none")
    with pytest.raises(UserError, match=r"^s3://b/x: is an address, but splits lie below the set's root; name that by"):
        split_shards(tmp_path, "s3://b/x")
