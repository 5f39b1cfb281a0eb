"""Checkpoints and texts of evaluation sets by address: copied once, anew when they change."""

from __future__ import annotations

import errno
from pathlib import Path

import fsspec
import pytest

from superbatch.errors import DiskFull, UserError
from superbatch.stores import asking, copies
from superbatch.stores.copies import local_copy, objects_in
from superbatch.stores.directories import bring_directory

URL = "memory://copies/model"
MEMORY = fsspec.filesystem("memory")


@pytest.fixture(autouse=True)
def there() -> None:
    MEMORY.store.clear()
    for name in ("a.json", "b.txt", "deep/c.txt"):
        MEMORY.pipe(f"/copies/model/{name}", name.encode())


def all_of(names: list[str]) -> list[str]:
    return names


def test_a_folder_is_copied_once_and_anew_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = local_copy(f"{URL}/", tmp_path, all_of)
    assert first.name.startswith("model-") and sorted(file.name for file in first.iterdir()) == ["a.json", "b.txt"]
    assert (first / "b.txt").read_text() == "b.txt"
    with monkeypatch.context() as context:
        context.setattr(copies, "bring_files", lambda *_: pytest.fail("it is here"))
        assert local_copy(URL, tmp_path, all_of) == first
    MEMORY.pipe("/copies/model/b.txt", b"other")
    second = local_copy(URL, tmp_path, all_of)
    assert (second / "b.txt").read_text() == "other" and (first / "b.txt").read_text() == "b.txt"


def test_only_what_is_needed_is_copied_and_counts(tmp_path: Path) -> None:
    first = local_copy(URL, tmp_path, lambda names: [name for name in names if name.endswith(".json")])
    MEMORY.pipe("/copies/model/b.txt", b"other")
    assert local_copy(URL, tmp_path, lambda _: ["a.json"]) == first and len(list(first.iterdir())) == 1


def test_an_object_is_a_file(tmp_path: Path) -> None:
    found = local_copy(f"{URL}/a.json", tmp_path, lambda _: pytest.fail("nothing to choose"))
    assert found.name == "a.json" and found.read_text() == "a.json"


def test_what_is_exchanged_meanwhile_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = copies.bring

    def exchanged(files: fsspec.AbstractFileSystem, path: str, file: Path) -> None:
        true(files, path, file)
        MEMORY.pipe(path, b"exchanged")

    monkeypatch.setattr(copies, "bring", exchanged)
    with pytest.raises(
        UserError, match=r"^memory://copies/model/a\.json: was changed while it was copied; give the same"
    ):
        local_copy(URL, tmp_path, all_of)
    assert not list(tmp_path.glob("model-*"))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^memory://copies/none: no such object; correct the address"):
        local_copy("memory://copies/none", tmp_path, all_of)
    assert [known.address.name for known in objects_in(URL)] == ["a.json", "b.txt"]


def test_a_full_disk_is_told_at_once_and_is_no_fault_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: fsspec.AbstractFileSystem, path: str, file: str) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(MEMORY), "get_file", full)
    monkeypatch.setattr(asking, "_wait", lambda *_: pytest.fail("asking again does not help"))
    with pytest.raises(DiskFull, match=r"a\.json: the disk is full; make room and give the same command again"):
        local_copy(URL, tmp_path, all_of)
    MEMORY.pipe("/copies/made/stage.stamp", b'{"files": {"w.bin": 3}}')
    with pytest.raises(DiskFull, match=r"w\.bin: the disk is full"):
        bring_directory("memory://copies/made", tmp_path / "made")
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
