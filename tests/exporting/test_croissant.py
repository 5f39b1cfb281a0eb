"""Data cards: what JSON they are, that their files are there, and that mlcroissant reads their records."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from superbatch.artifacts.atomic import write_json
from superbatch.config import Storage
from superbatch.curation.subset import write_shards
from superbatch.data.manifest import MANIFEST_SCHEMA, Manifest, write_manifest
from superbatch.errors import UserError
from superbatch.exporting.croissant import DescribedSet, check_card, croissant, write_manifest_of
from superbatch.pipelines.export.sets import _described
from tests.project import PROJECT


def sample(number: int, label: int | None) -> tuple[str, dict[str, bytes]]:
    stream = io.BytesIO()
    Image.fromarray(np.full((8, 12, 3), 20 * number, np.uint8)).save(stream, "png")
    parts = {"png": stream.getvalue(), "txt": f"caption {number}".encode()}
    return f"{number:03d}", parts | ({} if label is None else {"cls": str(label).encode()})


def described(folder: Path, labels: list[int | None]) -> DescribedSet:
    """Write a small set, two samples a shard, its manifest beside it."""
    write_shards(folder / "shards", iter([sample(n, label) for n, label in enumerate(labels)]), 2)
    shards = sorted((folder / "shards").glob("*.tar"))
    write_manifest_of(shards, folder / "manifest.parquet")
    digests = [(shard, hashlib.sha256(shard.read_bytes()).hexdigest()) for shard in shards]
    return DescribedSet("birds", "Some birds.", folder / "manifest.parquet", digests)


def test_a_card_names_every_file_from_where_it_lies(tmp_path: Path) -> None:
    card = croissant(described(tmp_path / "set", [1, 0, 1]), tmp_path / "cards" / "birds")
    assert card["@type"] == "sc:Dataset" and card["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert "license" not in card
    files = {one["contentUrl"]: one for one in card["distribution"]}
    assert list(files) == ["../../set/manifest.parquet", "../../set/shards/00000.tar", "../../set/shards/00001.tar"]
    for url, one in files.items():
        content = (tmp_path / "cards" / "birds" / url).resolve().read_bytes()
        assert one["sha256"] == hashlib.sha256(content).hexdigest() and one["contentSize"] == f"{len(content)} B"
    (records,) = card["recordSet"]
    columns = {field["name"]: field["source"]["extract"]["column"] for field in records["field"]}
    assert columns == {name: name for name in columns} and {"key", "captions", "label", "width"} <= set(columns)
    assert [field["name"] for field in records["field"] if field.get("repeated")] == ["captions"]


def test_labels_are_described_only_where_every_sample_has_one(tmp_path: Path) -> None:
    card = croissant(described(tmp_path, [1, None]), tmp_path, "CC0-1.0")
    assert "label" not in [field["name"] for field in card["recordSet"][0]["field"]]
    assert card["license"] == "CC0-1.0"


def test_the_manifest_of_an_exported_set_reads_from_its_folder(tmp_path: Path) -> None:
    described(tmp_path, [None] * 3)
    manifest = Manifest(tmp_path / "manifest.parquet", tmp_path)
    assert manifest.keys == ["000", "001", "002"] and list(manifest.shard_sizes) == [
        "shards/00000.tar",
        "shards/00001.tar",
    ]
    assert manifest.shard_path("shards/00001.tar").is_file()


def in_a_store(folder: Path) -> DescribedSet:
    """Describe a set as it is after ingestion from a store; nothing is there to be asked."""
    here = described(folder, [1, 0, 1])
    manifest, table = Manifest(here.manifest), pq.read_table(here.manifest)
    names = {name: f"s3://mine/{name}" for name in manifest.shard_sizes}
    places = pa.array([names[name] for name in table["shard"].to_pylist()])
    table = table.set_column(table.schema.get_field_index("shard"), "shard", places)
    sizes = {names[name]: size for name, size in manifest.shard_sizes.items()}
    write_manifest(folder / "far.parquet", table.cast(MANIFEST_SCHEMA), sizes, dict.fromkeys(sizes, "e1"))
    return _described(
        "birds", "Birds", Manifest(folder / "far.parquet"), "pool", Storage(stages=str(folder / "stages"))
    )


def test_a_set_in_a_store_is_named_by_address_size_and_mark(tmp_path: Path) -> None:
    one = in_a_store(tmp_path)
    card = croissant(one, tmp_path)
    assert "no checksums" in card["description"] and card["isLiveDataset"] is True
    manifest, first, second = card["distribution"]
    assert "sha256" in manifest and "sha256" not in first
    assert [shard["contentUrl"] for shard in (first, second)] == [
        "s3://mine/shards/00000.tar",
        "s3://mine/shards/00001.tar",
    ]
    assert (
        first["contentSize"] == f"{(tmp_path / 'shards' / '00000.tar').stat().st_size} B"
        and "e1" in first["description"]
    )
    assert "isLiveDataset" not in croissant(described(tmp_path / "set", [1]), tmp_path)


@pytest.mark.extras
def test_mlcroissant_takes_the_card_of_a_set_in_a_store(tmp_path: Path) -> None:
    import mlcroissant

    write_json(tmp_path / "croissant.json", croissant(in_a_store(tmp_path), tmp_path))
    check_card(tmp_path / "croissant.json")
    found = list(mlcroissant.Dataset(jsonld=str(tmp_path / "croissant.json")).records("samples"))
    assert [record["samples/key"] for record in found] == [b"000", b"001", b"002"]


@pytest.mark.extras
@pytest.mark.parametrize("labels", [[1, 0, 1], [None] * 3])
def test_mlcroissant_reads_the_records(tmp_path: Path, labels: list[Any]) -> None:
    import mlcroissant

    one = described(tmp_path / "set", labels)
    write_json(tmp_path / "croissant.json", croissant(one, tmp_path))
    check_card(tmp_path / "croissant.json")
    found = list(mlcroissant.Dataset(jsonld=str(tmp_path / "croissant.json")).records("samples"))
    assert [record["samples/key"] for record in found] == [b"000", b"001", b"002"]
    assert [record["samples/captions"] for record in found] == [[f"caption {n}".encode()] for n in range(3)]
    assert [record["samples/width"] for record in found] == [12] * 3
    assert [record.get("samples/label") for record in found] == labels


@pytest.mark.extras
def test_a_wrong_card_is_refused(tmp_path: Path) -> None:
    card = croissant(described(tmp_path, [1]), tmp_path)
    del card["recordSet"][0]["field"][0]["dataType"]
    write_json(tmp_path / "croissant.json", card)
    with pytest.raises(UserError) as caught:
        check_card(tmp_path / "croissant.json")
    line = (
        "is not a valid Croissant card ([Metadata(birds) > RecordSet(samples) > Field(key)] The field does not specify"
    )
    assert line in str(caught.value)


@pytest.mark.extras
def test_the_snippet_of_export_md_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "08_reporting" / "data_cards" / "curated"
    write_json(folder / "croissant.json", croissant(described(tmp_path / "set", [1, 0]), folder))
    (code,) = re.findall(r"```python\n(.*?)```", (PROJECT / "docs" / "export.md").read_text(), re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out.splitlines() == ["b'000' [b'caption 0']", "b'001' [b'caption 1']"]
