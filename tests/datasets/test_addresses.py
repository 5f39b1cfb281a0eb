"""Data sets of the catalog whose files go to an object store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
from kedro.io import DatasetError
from matplotlib.figure import Figure

from superbatch.artifacts.stamps import STAMP, Staged, build_once, read_stamp
from superbatch.datasets import DirectoryDataset
from superbatch.datasets.aside import JSONDataset, TextDataset, written_to
from superbatch.datasets.frames import CSVDataset, ParquetDataset
from superbatch.datasets.pictures import MatplotlibDataset
from superbatch.stores import asking

URL = "memory://addresses/models/jest"
MEMORY = fsspec.filesystem("memory")


@pytest.fixture(autouse=True)
def empty() -> None:
    MEMORY.store.clear()


def build(root: Path, name: str = "0123456789abcdef", text: str = "hello") -> Staged:
    def write(out: Path) -> None:
        (out / "deep").mkdir()
        (out / "deep" / "a.txt").write_text(text)

    return build_once("notes", name, root / "stages", write)


def directory(root: Path) -> DirectoryDataset:
    return DirectoryDataset(filepath=str(root / "jest"), address=f"{URL}/", stage="learner")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (JSONDataset, {"a": [1]}),
        (TextDataset, "<html>"),
        (CSVDataset, pd.DataFrame({"a": [1]})),
        (ParquetDataset, pd.DataFrame({"a": [1]})),
        (MatplotlibDataset, Figure(figsize=(1, 1))),
    ],
)
def test_a_file_goes_to_an_address(kind: Any, data: Any) -> None:
    dataset = kind(filepath="memory:///addresses/report/made")
    dataset.save(data)
    assert MEMORY.size("/addresses/report/made") > 0 and MEMORY.find("/addresses") == ["/addresses/report/made"]
    assert written_to(dataset).startswith("memory://") and dataset.exists()


def test_a_file_that_a_store_refuses_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, failures = TextDataset(filepath="memory:///addresses/report.html"), [PermissionError("No.")]

    def refused(*_: Any, **__: Any) -> None:
        raise failures[0]

    monkeypatch.setattr(type(MEMORY), "open", refused)
    with pytest.raises(DatasetError, match=r"^memory://.*report\.html: access is refused \(No\.\); ask its owner .*$"):
        dataset.save("<html>")
    failures[0] = TimeoutError("slow")  # type: ignore[call-overload]
    monkeypatch.setattr(asking.time, "sleep", lambda _: monkeypatch.undo())
    dataset.save("<html>")
    assert dataset.load() == "<html>"


def test_a_directory_goes_there_and_comes_back_on_another_machine(tmp_path: Path) -> None:
    assert not directory(tmp_path / "here").exists()
    directory(tmp_path / "here").save(build(tmp_path))
    assert MEMORY.find("/addresses") == ["/addresses/models/jest/deep/a.txt", f"/addresses/models/jest/{STAMP}"]
    there = directory(tmp_path / "there")
    assert there.exists() and not (tmp_path / "there").exists()
    assert (there.load() / "deep" / "a.txt").read_text() == "hello" and read_stamp(there.load()) == "0123456789abcdef"


def test_what_is_there_already_is_not_sent_again_and_another_replaces_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = directory(tmp_path)
    dataset.save(build(tmp_path))
    MEMORY.pipe("/addresses/models/jest/yours.txt", b"not of any stamp")
    with monkeypatch.context() as context:
        context.setattr(type(MEMORY), "put_file", lambda *_, **__: pytest.fail("sent before"))
        dataset.save(build(tmp_path))
    dataset.save(
        build_once("b", "f" * 16, tmp_path / "stages", lambda out: (out / "b.txt").write_text("other") and None)
    )
    names = ["b.txt", STAMP, "yours.txt"]
    assert MEMORY.find("/addresses") == [f"/addresses/models/jest/{name}" for name in names]
    assert (directory(tmp_path / "there").load() / "b.txt").read_text() == "other"


def test_half_a_directory_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory(tmp_path).save(build(tmp_path))
    MEMORY.pipe("/addresses/models/jest/deep/a.txt", b"cut")
    with pytest.raises(
        DatasetError, match=r"^memory://.*a\.txt: has 3 bytes, its stamp says 5; copy the directory there again"
    ):
        directory(tmp_path / "there").load()
    MEMORY.rm(f"/addresses/models/jest/{STAMP}")
    with pytest.raises(
        DatasetError, match=r"jest: not there yet, or not finished; run `kedro run --pipelines=learner` first"
    ):
        directory(tmp_path / "there").load()
    assert not (tmp_path / "there" / "jest").exists()


def test_a_store_that_fails_after_training_says_that_the_result_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError("No.")

    monkeypatch.setattr(type(MEMORY), "put_file", refused)
    with pytest.raises(DatasetError, match=r"access is refused .*jest is finished, and on this machine\)$"):
        directory(tmp_path).save(build(tmp_path))
    monkeypatch.undo()
    directory(tmp_path).save(build(tmp_path))  # the same command again
    assert directory(tmp_path / "there").exists()
