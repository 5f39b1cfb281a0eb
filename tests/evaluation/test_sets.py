"""Evaluation sets in CLIP_benchmark's layout: what is read, and one clear line for each thing that is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest

from superbatch.data.ingest import ingest
from superbatch.errors import UserError
from superbatch.evaluation import load_evaluation_set, split_shards
from superbatch.evaluation.prompts import DEFAULT_TEMPLATES
from superbatch.evaluation.store import ingest_evaluation_sets, load_evaluation_sets

from .handmade import CLASSNAMES, TEMPLATES, classification_samples, retrieval_samples, write_split

Make = Callable[..., tuple[Path, Path]]


def refused(directory: Path, root: Path | None, message: str, **options: str) -> None:
    """Expect one line that says what, and where."""
    with pytest.raises(UserError, match=message) as error:
        load_evaluation_set(directory, root, **options)
    assert "\n" not in str(error.value)


def test_classification(classification: Make) -> None:
    found = load_evaluation_set(*classification())
    assert (found.name, found.kind, found.split, found.num_images) == ("colours", "classification", "test", 24)
    assert found.classnames == tuple(CLASSNAMES) and found.templates == tuple(TEMPLATES)
    np.testing.assert_array_equal(found.labels, np.arange(24) % 4)


def test_retrieval(retrieval_split: Make) -> None:
    found = load_evaluation_set(*retrieval_split(), name="pairs")
    assert (found.name, found.kind, found.num_images, len(found.captions)) == ("pairs", "retrieval", 10, 30)
    assert found.captions[:3] == ("red number 0 form 0", "red number 0 form 1", "red number 0 form 2")
    np.testing.assert_array_equal(found.image_of_text, np.repeat(np.arange(10), 3))


def test_one_to_many_captions(retrieval_split: Make) -> None:
    samples = [("a", {"txt": "one"}), ("b", {"txt": "one\ntwo\nthree\n"}), ("c", {"txt": "one\ntwo"})]
    found = load_evaluation_set(*retrieval_split(samples=samples))
    assert found.image_of_text is not None and found.image_of_text.tolist() == [0, 1, 1, 1, 2, 2]


def test_without_a_root_the_samples_tell(retrieval_split: Make, classification: Make) -> None:
    assert load_evaluation_set(retrieval_split()[0]).kind == "retrieval"
    refused(classification()[0], None, "needs its class names; name the root folder")


def test_any_labelled_set_can_be_asked_for_retrieval(classification: Make) -> None:
    assert load_evaluation_set(*classification(), kind="retrieval").kind == "retrieval"


def test_missing_class_names(classification: Make) -> None:
    directory, root = classification()
    (root / "classnames.txt").unlink()
    refused(directory, root, re.escape(f"{root}/classnames.txt: missing") + ".*; write one class name a line")


@pytest.mark.parametrize(
    ("text", "message"), [("", "classnames.txt: is empty"), ("red\n\nblue\n", "classnames.txt:2: is empty")]
)
def test_empty_class_names(classification: Make, text: str, message: str) -> None:
    directory, root = classification()
    (root / "classnames.txt").write_text(text)
    refused(directory, root, message)


def test_label_out_of_range(classification: Make) -> None:
    directory, root = classification()
    (root / "classnames.txt").write_text("red\ngreen\nblue\n")
    refused(directory, root, "0003: label 3, but .*classnames.txt names classes 0..2; add the missing names")


def test_sample_without_label(classification: Make) -> None:
    samples = [*classification_samples(5), ("unlabelled", {"txt": "red"})]
    refused(*classification(samples=samples), "unlabelled: one of 1 samples without a label")


def test_templates(classification: Make) -> None:
    directory, root = classification()
    path = root / "zeroshot_classification_templates.txt"
    path.write_text("a {c}\n\na {}\n")
    assert load_evaluation_set(directory, root).templates == ("a {c}", "a {}")
    path.write_text("a {c}\na picture\n")
    refused(directory, root, "templates.txt:2: the template 'a picture' has no place")
    path.write_text("\n")
    refused(directory, root, "has no template")
    path.unlink()
    assert load_evaluation_set(directory, root).templates == DEFAULT_TEMPLATES


def test_unknown_kind(retrieval_split: Make) -> None:
    directory, root = retrieval_split()
    (root / "dataset_type.txt").write_text("segmentation")
    refused(directory, root, "dataset_type.txt: 'segmentation' is not a known kind")


def test_another_split_is_refused(classification: Make) -> None:
    directory, root = classification("validation")
    write_split(root, "test", classification_samples(8))
    refused(
        directory,
        root,
        "was ingested from .*validation/0.tar, not from the split's folder .*test; ingest that split",
        split="test",
    )
    assert load_evaluation_set(directory, root, split="validation").split == "validation"
    assert load_evaluation_set(directory, root, split="test", folder="validation").split == "test"


def test_missing_shards_are_noticed(classification: Make, tmp_path: Path) -> None:
    _, root = classification()
    ingest([root / "test" / "0.tar"], tmp_path / "half")
    refused(tmp_path / "half", root, "has samples of 1 of the 2 shards")


def test_fingerprint_changes_with_what_decides(classification: Make) -> None:
    directory, root = classification()
    before = load_evaluation_set(directory, root).fingerprint
    assert before == load_evaluation_set(directory, root, name="other").fingerprint
    (root / "classnames.txt").write_text("crimson\ngreen\nblue\ngrey\n")
    assert before != load_evaluation_set(directory, root).fingerprint


def test_split_shards(tmp_path: Path) -> None:
    expected = write_split(tmp_path, "test", retrieval_samples(24, 1), shards=12)
    assert split_shards(tmp_path, "test") == expected  # by number: 2 before 10
    expected[3].unlink()
    with pytest.raises(UserError, match=r"3\.tar: missing, though nshards.txt counts 12"):
        split_shards(tmp_path, "test")
    (tmp_path / "test" / "nshards.txt").write_text("many")
    with pytest.raises(UserError, match="'many' is not a number"):
        split_shards(tmp_path, "test")
    (tmp_path / "test" / "nshards.txt").unlink()
    assert len(split_shards(tmp_path, "test")) == 11
    with pytest.raises(UserError, match="no such split"):
        split_shards(tmp_path, "validation")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"has no \.tar"):
        split_shards(tmp_path, "empty")


def test_shards_that_lie_beside_each_other_are_named_by_pattern(tmp_path: Path) -> None:
    for number, shard in enumerate(write_split(tmp_path, "all", retrieval_samples(9, 2), shards=3)):
        shard.rename(tmp_path / f"{'val' if number else 'test'}-{number}.tar")
    with pytest.raises(
        UserError, match=r"/test: no such split; its shards lie beside each other: name them, as in splits"
    ):
        split_shards(tmp_path, "test")
    assert [path.name for path in split_shards(tmp_path, "val-*.tar")] == ["val-1.tar", "val-2.tar"]
    assert [path.name for path in split_shards(tmp_path, "val-{1..2}.tar")] == ["val-1.tar", "val-2.tar"]
    with pytest.raises(UserError, match=r"train-\*\.tar: no such shard"):
        split_shards(tmp_path, "train-*.tar")
    ingest_evaluation_sets({"mine": (tmp_path, {"validation": "val-*.tar", "test": "test-0.tar"})}, tmp_path / "sets")
    found = {one.split: one.num_images for one in load_evaluation_sets(tmp_path / "sets")}
    assert found == {"validation": 6, "test": 3}


@pytest.mark.parametrize("name", ["br[2024]", "{a,b}", "{photos}", "star*x", "q?m", "back\\slash", "[a]{0..1}"])
def test_only_the_split_is_a_pattern_whatever_the_roots_name(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    for folder in (root, tmp_path / "a", tmp_path / "br2"):
        folder.mkdir()
        for shard in ("val-0.tar", "val-1.tar", "test-0.tar"):
            (folder / shard).touch()
    shards = [root / "val-0.tar", root / "val-1.tar"]
    assert split_shards(root, "val-*.tar") == split_shards(root, "val-{0..1}.tar") == shards
    assert split_shards(root, "val-[0-9].tar") == shards and split_shards(root, "test-0.tar") == [root / "test-0.tar"]
    with pytest.raises(UserError) as refused:
        split_shards(root, "train-*.tar")
    assert str(refused.value) == (
        f"evaluation set: {root}/train-*.tar: no such shard; correct the path (it counts from the project's folder)"
    )


def test_the_root_of_a_store_is_no_pattern_either() -> None:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for name in ("/sets/br[2024] {a,b}/val-0.tar", "/sets/br2 a/val-0.tar"):
        memory.pipe(name, b"")
    root = "memory://sets/br[2024] {a,b}"
    (found,) = split_shards(root, "val-*.tar")
    assert str(found).endswith("/sets/br[2024] {a,b}/val-0.tar")
    assert [str(shard) for shard in split_shards(root, "val-{0..1}.tar")] == [f"{root}/val-0.tar", f"{root}/val-1.tar"]


def test_lines_are_captions_however_the_set_was_ingested(retrieval_split: Make, tmp_path: Path) -> None:
    directory, root = retrieval_split()
    ingest(split_shards(root, "test"), tmp_path / "lines", captions_per_line=True)
    whole, lines = load_evaluation_set(directory, root), load_evaluation_set(tmp_path / "lines", root)
    assert whole.captions == lines.captions and len(lines.captions) == 30
