from pathlib import Path

import pytest
from kedro.io import DatasetError

from superbatch.artifacts.stamps import STAMP, Staged, build_once, find_stage
from superbatch.datasets import DirectoryDataset, RunDirectoryDataset


def build(root: Path, name: str = "0123456789abcdef", text: str = "hello") -> Staged:
    return build_once("notes", name, root / "stages", lambda out: (out / "a.txt").write_text(text) and None)


def test_saves_whole_and_loads_a_path(tmp_path: Path) -> None:
    dataset = DirectoryDataset(filepath=str(tmp_path / "x" / "notes"))
    assert not dataset.exists()
    dataset.save(build(tmp_path))
    assert dataset.exists()
    assert (dataset.load() / "a.txt").read_text() == "hello"


def test_saving_again_changes_nothing_and_another_one_replaces_all(tmp_path: Path) -> None:
    dataset = DirectoryDataset(filepath=str(tmp_path / "notes"))
    dataset.save(build(tmp_path))
    before = (tmp_path / "notes" / "a.txt").stat().st_mtime_ns
    dataset.save(build(tmp_path))  # found where it stands
    assert (tmp_path / "notes" / "a.txt").stat().st_mtime_ns == before
    (tmp_path / "notes" / "stray.txt").write_text("left over")
    dataset.save(build(tmp_path, "f" * 16, "other"))
    assert sorted(path.name for path in dataset.load().iterdir()) == sorted(["a.txt", STAMP])
    assert find_stage("0123456789abcdef", tmp_path / "stages") is None


def test_a_missing_directory_names_the_stage_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = DirectoryDataset(filepath=str(tmp_path / "data" / "pool"), stage="ingest")
    with pytest.raises(DatasetError) as caught:
        dataset.load()
    assert str(caught.value) == "data/pool: not there yet, or not finished; run `kedro run --pipelines=ingest` first"


def test_a_directory_without_stamp_is_not_finished(tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    assert not DirectoryDataset(filepath=str(tmp_path / "pool")).exists()


def test_a_directory_with_a_file_that_was_cut_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = DirectoryDataset(filepath=str(tmp_path / "notes"), stage="ingest")
    dataset.save(build(tmp_path))
    (tmp_path / "notes" / "a.txt").write_text("he")
    assert not dataset.exists()
    with pytest.raises(DatasetError) as caught:
        dataset.load()
    told = "notes/a.txt: is damaged: 2 bytes, and its stage had written 5; run `kedro run --pipelines=ingest` first"
    assert str(caught.value) == told


def test_refuses_what_is_not_staged(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"not str"):
        DirectoryDataset(filepath=str(tmp_path / "pool")).save("text")  # type: ignore[arg-type]


def test_runs_are_found_by_their_record(tmp_path: Path) -> None:
    from kedro_datasets.partitions import PartitionedDataset

    for run in ("jest", "uniform-T10-s0"):
        (tmp_path / run / "training").mkdir(parents=True)
        (tmp_path / run / "training" / "run.json").write_text("{}")
    (tmp_path / "unfinished" / "training").mkdir(parents=True)
    runs = PartitionedDataset(
        path=str(tmp_path), dataset=RunDirectoryDataset, filename_suffix="/training/run.json"
    ).load()
    assert {name: load() for name, load in runs.items()} == {
        name: tmp_path / name for name in ("jest", "uniform-T10-s0")
    }
    with pytest.raises(DatasetError, match="learner"):
        RunDirectoryDataset(filepath=str(tmp_path / "x")).save(1)  # type: ignore[arg-type]
