"""Pools whose captions name few classes, from the scripts in benchmarks/: names of drawings, and labels that are said in many ways."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from superbatch.data.writing import Sample, write_shard
from superbatch.evaluation.prompts import classnames_in
from superbatch.files import expand_shards
from tests.project import PROJECT

SAID = ["", " outline", " bold", " bold outline"]  # words of style, which are no part of a name
COUNTS = {"home": 60, "star": 50, "arrow left": 40, "rocket": 10}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    """Import a script of benchmarks/ as a module."""
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    return importlib.import_module


def read(script, folder: Path) -> list[Sample]:
    return list(script("emoji_shuffle").read_samples(expand_shards(str(folder / "*.tar"))))


def text(sample: Sample) -> str:
    return sample.parts["txt"].decode()


def called(sample: Sample) -> str:
    return str(json.loads(sample.parts["json"])["caption_name"])


@pytest.mark.parametrize("varied", [False, True])
def test_the_commonest_names_are_classes_and_half_of_the_pool_is_exchanged(
    script, tmp_path: Path, varied: bool
) -> None:
    names = [name for name, count in COUNTS.items() for _ in range(count)]
    drawings = [
        Sample(
            f"{number:04d}",
            {
                "png": f"picture {number}".encode(),
                "txt": f"{name}{SAID[number % 4]}".encode(),
                "json": json.dumps({"name": f"{name}-{number}", "author": "somebody"}).encode(),
            },
        )
        for number, name in enumerate(names)
    ]
    (tmp_path / "source").mkdir()
    write_shard(tmp_path / "source" / "00000.tar", drawings)
    sizes = {"curated": 10, "train": 20, "validation": 20, "test": 20}
    out = tmp_path / "out"
    found = script("names").prepare(tmp_path / "source", out, names=3, varied=varied, sizes=sizes)
    assert found["pool"] == 150 - 70, "rockets are too few"
    assert classnames_in(out / "evaluation" / "classnames.txt") == ("home", "star", "arrow left")
    pool, curated = read(script, out / "pool"), read(script, out / "curated")
    sets = [pool, curated, *(read(script, out / "evaluation" / split) for split in ("train", "validation", "test"))]
    assert len({one.key for of in sets for one in of}) == sum(map(len, sets)) == 150, "no sample is in two sets"
    assert {json.loads(one.parts["json"])["author"] for of in sets for one in of} == {"somebody"}
    said = Counter(called(one) == text(one) for one in curated)
    assert said[True] < 10 if varied else said == {True: 10}
    assert all(text(one).startswith(called(one)) for one in curated)
    wrong = [not text(one).startswith(called(one)) for one in pool]
    kinds = pq.read_table(out / "truth" / "pool.parquet").to_pydict()["kind"]
    assert [kind == "mismatched" for kind in kinds] == wrong and found["mismatched"] == sum(wrong)
    assert 20 <= sum(wrong) <= 40, "of the 40 that are exchanged some get their own name back"
    labels = {(one.parts["cls"].decode(), called(one)) for of in sets[2:] for one in of}
    assert labels == {("0", "home"), ("1", "star"), ("2", "arrow left")}


def test_drawings_are_called_by_their_icon_set_and_so_many_are_drawn(script, tmp_path: Path) -> None:
    owners = {"tabler": 60, "fluent-emoji-flat": 50, "rare": 10}
    records = [{"set": name, "author": "somebody"} for name, count in owners.items() for _ in range(count)]
    drawings = [
        Sample(f"{n:04d}", {"png": b"", "txt": b"home", "json": json.dumps(record).encode()})
        for n, record in enumerate(records)
    ]
    (tmp_path / "source").mkdir()
    write_shard(tmp_path / "source" / "00000.tar", drawings)
    sizes, out = {"curated": 10, "train": 20, "validation": 20, "test": 20}, tmp_path / "out"
    found = script("names").prepare(tmp_path / "source", out, by="set", names=2, most=100, sizes=sizes)
    assert found["pool"] == 30 and classnames_in(out / "evaluation" / "classnames.txt") == (
        "tabler",
        "fluent emoji flat",
    )
    curated = read(script, out / "curated")
    assert {text(one) for one in curated} == {"tabler", "fluent emoji flat"}
    assert all(json.loads(one.parts["json"])["set"].replace("-", " ") == text(one) for one in curated)


@pytest.mark.parametrize(
    ("names", "sizes", "told"),
    [
        (3, {"curated": 10, "train": 10, "validation": 10}, "20 drawings have one of the 3 commonest names, and 30 are set aside"),
        (3, {"curated": 0, "train": 1, "validation": 1}, "no drawing of"),
    ],
)  # fmt: skip
def test_names_that_fill_no_sets_are_one_line(
    script, tmp_path: Path, names: int, sizes: dict[str, int], told: str
) -> None:
    texts = [b"home"] * 18 + [b"star", b"moon"]
    drawings = [Sample(f"{n:02d}", {"png": b"", "txt": text, "json": b"{}"}) for n, text in enumerate(texts)]
    (tmp_path / "source").mkdir()
    write_shard(tmp_path / "source" / "00000.tar", drawings)
    with pytest.raises(SystemExit, match=told):
        script("names").prepare(tmp_path / "source", tmp_path / "out", names=names, sizes=sizes)
    assert not (tmp_path / "out").exists()


def test_phrases_name_the_class_in_their_own_words(script) -> None:
    phrased = script("phrased")
    assert len(set(phrased.PHRASES)) == 64 and all(phrase.count("{c}") == 1 for phrase in phrased.PHRASES)
    boots = [
        Sample(f"{n:03d}", {"txt": b"a grayscale photo of an ankle boot.", "json": b'{"caption_name": "ankle boot"}'})
        for n in range(640)
    ]
    said = Counter(map(text, phrased.phrased(boots, np.random.default_rng(0))))
    assert len(said) == 64 and max(said.values()) < 30
    assert all("an ankle boot" in caption and "{" not in caption for caption in said)


@pytest.mark.real_data
@pytest.mark.skipif(
    not (PROJECT.parent / "shared" / "data" / "fashion-mnist").is_dir(), reason="no shards of Fashion-MNIST"
)
def test_labels_that_are_said_in_many_ways_are_counted_by_class(script, tmp_path: Path) -> None:
    sizes = {"curated": 50, "train": 600, "validation": 200}
    source = PROJECT.parent / "shared" / "data" / "fashion-mnist"
    found = script("phrased").prepare(source, tmp_path / "out", sizes=sizes, limit=1_500)
    pool = read(script, tmp_path / "out" / "pool")
    names = sorted({called(one) for one in pool}, key=len, reverse=True)  # "shirt" is part of a longer name
    wrong = [next(name for name in names if name in text(one)) != called(one) for one in pool]
    kinds = pq.read_table(tmp_path / "out" / "truth" / "pool.parquet").to_pydict()["kind"]
    assert [kind == "mismatched" for kind in kinds] == wrong and found["mismatched"] == sum(wrong)
    assert 0.35 < sum(wrong) / len(pool) < 0.5, "half are exchanged, a tenth of them within their class"
