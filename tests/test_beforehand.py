"""What is looked for before the first stage runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline

from superbatch.beforehand import check_places
from superbatch.datasets import DirectoryDataset
from superbatch.errors import UserError

PIPELINE = pipeline(
    [node(lambda: "made", None, "pool.set", name="make"), node(lambda: 1, None, "number", name="count")]
)


def catalog(place: Path) -> DataCatalog:
    dataset = DirectoryDataset(filepath=str(place), stage="ingest")
    return DataCatalog({"pool.set": dataset, "number": MemoryDataset()})


def test_a_place_that_nothing_can_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere, so what the system says is made up."""
    monkeypatch.chdir(tmp_path)
    check_places(PIPELINE, catalog(tmp_path / "data" / "pool"))
    (tmp_path / "data").mkdir()
    closed = tmp_path / "data"
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed)
    with pytest.raises(
        UserError, match=r"^data: can't be written to; give this user the right to, or use another folder"
    ):
        check_places(PIPELINE, catalog(tmp_path / "data" / "deep" / "pool"))


def test_a_file_where_a_folder_should_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").write_text("no folder")
    with pytest.raises(UserError, match=r"^data: can't be written to"):
        check_places(PIPELINE, catalog(tmp_path / "data" / "pool"))


@pytest.mark.parametrize("key", ["stages", "state"])
def test_where_stages_are_built_and_states_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.chdir(tmp_path)
    closed = tmp_path / key
    closed.mkdir()
    stage = pipeline([node(lambda storage: "made", "params:storage", "pool.set", name="make")])
    made = catalog(tmp_path / "data" / "pool")
    made["params:storage"] = MemoryDataset({key: str(closed)})
    check_places(stage, made)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed)
    with pytest.raises(UserError, match=rf"^{key}: can't be written to; .* another folder \(`storage\.{key}`\)$"):
        check_places(stage, made)
