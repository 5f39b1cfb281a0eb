"""A file that others may hold by another name (DVC's cache) keeps its bytes when the data set is saved again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.io import DatasetError
from kedro.io.core import AbstractDataset
from matplotlib.figure import Figure

from superbatch.datasets.aside import JSONDataset, TextDataset
from superbatch.datasets.frames import CSVDataset, ParquetDataset
from superbatch.datasets.pictures import MatplotlibDataset

CASES = {
    "json": (JSONDataset, {"a": 1}),
    "txt": (TextDataset, "text"),
    "csv": (CSVDataset, pd.DataFrame({"a": [1]})),
    "parquet": (ParquetDataset, pd.DataFrame({"a": [1]})),
    "png": (MatplotlibDataset, Figure(figsize=(1, 1))),
}


@pytest.mark.parametrize("link", [os.link, os.symlink])
@pytest.mark.parametrize("kind", CASES)
def test_a_linked_file_is_replaced_and_not_written_into(tmp_path: Path, kind: str, link: Any) -> None:
    cached, place = tmp_path / "cached", tmp_path / "report" / f"made.{kind}"
    cached.write_bytes(b"of an earlier commit")
    cached.chmod(0o444)
    place.parent.mkdir()
    link(cached, place)
    made, data = CASES[kind]
    made(filepath=str(place)).save(data)
    assert cached.read_bytes() == b"of an earlier commit"
    assert not place.is_symlink() and place.read_bytes() != b"of an earlier commit"
    assert os.listdir(place.parent) == [place.name]


def test_it_reads_what_it_wrote_and_says_its_own_place(tmp_path: Path) -> None:
    dataset: AbstractDataset = JSONDataset(filepath=str(tmp_path / "new" / "made.json"), save_args={"indent": 1})
    dataset.save({"a": [1]})
    assert dataset.load() == {"a": [1]} and "made.json" in str(dataset) and "tmp" not in Path(str(dataset)).name


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    dataset = JSONDataset(filepath=str(tmp_path / "made.json"))
    dataset.save({"a": 1})
    with pytest.raises(DatasetError):
        dataset.save({"a": object()})
    assert dataset.load() == {"a": 1} and os.listdir(tmp_path) == ["made.json"]
