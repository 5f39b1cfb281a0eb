"""The files that render() writes: bytes, layout, truth."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from simweb_helpers import image_bytes, read_samples, small_settings

from superbatch.artifacts.fingerprints import directory_digest
from superbatch.errors import UserError
from superbatch.options import SimwebSettings
from superbatch.simweb import render, words


@pytest.fixture(scope="module")
def pool(crawl: Path) -> dict[str, dict[str, bytes]]:
    return read_samples(crawl / "pool")


@pytest.fixture(scope="module")
def truth(crawl: Path) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in pq.read_table(crawl / "truth" / "pool.parquet").to_pylist()}


def test_same_settings_give_the_same_bytes_whatever_the_jobs(crawl: Path, tmp_path: Path) -> None:
    with joblib.parallel_config(
        backend="threading"
    ):  # processes take seconds to start, and find their work in the same way
        render(small_settings(jobs=2), tmp_path / "again")
    assert directory_digest(tmp_path / "again") == directory_digest(crawl)


def test_another_seed_gives_another_crawl(crawl: Path, tmp_path: Path) -> None:
    render(small_settings(seed=1, pool_pairs=50), tmp_path / "other")
    assert (tmp_path / "other/curated/00000.tar").read_bytes() != (crawl / "curated/00000.tar").read_bytes()


def test_a_pair_does_not_depend_on_its_shard(pool: dict[str, dict[str, bytes]], tmp_path: Path) -> None:
    render(small_settings(shard_size=600), tmp_path / "one")
    samples = read_samples(tmp_path / "one" / "pool")
    for part in ("txt", "png", "jpg"):
        assert [s.get(part) for s in samples.values()] == [s.get(part) for s in pool.values()]


def test_pool_layout(pool: dict[str, dict[str, bytes]], crawl: Path, crawl_settings: SimwebSettings) -> None:
    assert sorted(p.name for p in (crawl / "pool").iterdir()) == ["00000.tar", "00001.tar", "00002.tar"]
    assert len(pool) == crawl_settings.pool_pairs
    assert all(set(s) in ({"png", "txt", "json"}, {"jpg", "txt", "json"}) for s in pool.values())
    assert {"png", "jpg"} <= {ext for s in pool.values() for ext in s}
    for key, sample in pool.items():
        record = json.loads(sample["json"])
        assert set(record) == {"key", "url", "width", "height", "sha256", "status"}, "a crawl does not know the truth"
        assert record["key"] == key and record["sha256"] == hashlib.sha256(image_bytes(sample)).hexdigest()


def test_counts_and_truth_agree_with_the_settings(
    rendered: tuple[Path, dict[str, Any]], truth: dict[str, dict[str, Any]], crawl_settings: SimwebSettings
) -> None:
    kinds = [row["kind"] for row in truth.values()]
    expected = {kind: round(share * crawl_settings.pool_pairs) for kind, share in crawl_settings.shares.items()}
    assert {kind: kinds.count(kind) for kind in expected} == expected == rendered[1]["kinds"]
    assert rendered[1]["curated"] == 200 and rendered[1]["evaluation"]["classification"] == {
        "validation": 192,
        "test": 192,
    }
    assert all(
        (row["concept"] == -1) == (row["kind"] == "off_topic") == (row["true_caption"] == "") for row in truth.values()
    )


def test_captions_of_each_kind(pool: dict[str, dict[str, bytes]], truth: dict[str, dict[str, Any]]) -> None:
    for key, row in truth.items():
        shown, kind = pool[key]["txt"].decode(), row["kind"]
        if kind == "clean":
            assert shown == row["true_caption"]
        elif kind == "mismatched":
            source = truth[row["source_key"]]
            assert row["source_key"] != key and source["concept"] != row["concept"] and shown == source["true_caption"]
        elif kind == "near_duplicate":
            assert truth[row["source_key"]]["kind"] == "clean" and row["source_key"] < key
            assert (
                shown.lower().rstrip(".")
                == row["true_caption"].lower()
                == truth[row["source_key"]]["true_caption"].lower()
            )
        elif kind in ("garbled", "boilerplate", "off_topic"):
            assert shown.strip() and shown != row["true_caption"]


def test_near_duplicates_look_alike_but_are_other_files(
    pool: dict[str, dict[str, bytes]], truth: dict[str, dict[str, Any]]
) -> None:
    copies = [(key, row["source_key"]) for key, row in truth.items() if row["kind"] == "near_duplicate"]
    for copy, original in copies:
        first, second = image_bytes(pool[copy]), image_bytes(pool[original])
        assert first != second
        assert np.abs(_pixels(first) - _pixels(second)).mean() < 25


def test_corrupt_pairs_and_only_they_are_unusable(
    pool: dict[str, dict[str, bytes]], truth: dict[str, dict[str, Any]]
) -> None:
    unusable = {key for key, sample in pool.items() if not sample["txt"].strip() or not _decodes(image_bytes(sample))}
    assert unusable == {key for key, row in truth.items() if row["kind"] == "corrupt"}


def test_curated_set_is_clean_and_balanced(crawl: Path) -> None:
    samples = read_samples(crawl / "curated")
    labels = [int(sample["cls"]) for sample in samples.values()]
    per_concept = np.bincount(labels, minlength=words.NUM_CONCEPTS)
    assert len(samples) == 200 and per_concept.min() == 1 and per_concept.max() == 2
    assert all(_decodes(image_bytes(sample)) and sample["txt"].strip() for sample in samples.values())


@pytest.mark.parametrize("split", ["validation", "test"])
def test_classification_layout(crawl: Path, split: str) -> None:
    root = crawl / "evaluation" / "classification"
    names = (root / "classnames.txt").read_text().splitlines()
    templates = (root / "zeroshot_classification_templates.txt").read_text().splitlines()
    assert (
        len(names) == len(set(names)) == words.NUM_CONCEPTS and "blue digit seven" in names and "red triangle" in names
    )
    assert len(templates) == 8 and all("{c}" in template for template in templates)
    assert (root / "dataset_type.txt").read_text().strip() == "classification"
    assert (root / split / "nshards.txt").read_text().strip() == "1"
    samples = read_samples(root / split)
    assert sorted(int(s["cls"]) for s in samples.values()) == list(range(words.NUM_CONCEPTS))
    assert all(set(s) == {"png", "cls", "txt"} for s in samples.values())


@pytest.mark.parametrize(("split", "images"), [("validation", 20), ("test", 30)])
def test_retrieval_layout(crawl: Path, split: str, images: int) -> None:
    root = crawl / "evaluation" / "retrieval"
    assert (root / "dataset_type.txt").read_text().strip() == "retrieval"
    samples = read_samples(root / split)
    captions = [sample["txt"].decode().splitlines() for sample in samples.values()]
    assert len(samples) == images
    assert all(3 <= len(own) <= 5 and len(set(own)) == len(own) for own in captions)
    everything = [caption for own in captions for caption in own]
    assert len(set(everything)) == len(everything), "a caption must tell which image it belongs to"


@pytest.mark.parametrize("image_size", [48, 64])
def test_image_size(tmp_path: Path, image_size: int) -> None:
    render(small_settings(image_size=image_size, pool_pairs=40, curated_pairs=4), tmp_path / "out")
    sample = next(iter(read_samples(tmp_path / "out" / "curated").values()))
    assert _pixels(image_bytes(sample)).shape == (image_size, image_size, 3)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"shares": {"clean": 0.5, "spam": 0.5}}, "spam"),
        ({"shares": {"clean": 1.5, "garbled": -0.5}}, "shares.garbled"),
        ({"shares": {"near_duplicate": 1.0}}, "near_duplicate"),
        ({"shard_size": 0}, "shard_size"),
        ({"pool_pairs": 0}, "pool_pairs"),
        ({"zipf_exponent": -1.0}, "zipf_exponent"),
    ],
)
def test_impossible_settings_are_told_in_one_line(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told) as error:
        render(small_settings(**changes), tmp_path / "out")
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


def _pixels(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB")).astype(float)


def _decodes(image: bytes) -> bool:
    try:
        _pixels(image)
    except OSError:
        return False
    return True
