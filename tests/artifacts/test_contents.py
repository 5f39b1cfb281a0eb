"""Files are known by their content; what is remembered of them saves time and decides nothing."""

from __future__ import annotations

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from superbatch.artifacts import contents
from superbatch.artifacts.contents import content_digests
from superbatch.errors import UserError


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setattr(contents, "SETTLED", -60)  # nobody has to wait
    for name in "ab":
        (tmp_path / name).write_text(name)
    return [tmp_path / "a", tmp_path / "b"]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    whole = contents.file_sha256
    monkeypatch.setattr(contents, "file_sha256", lambda file: (names.append(file.name), whole(file))[1])
    return names


def test_what_stays_as_it_is_is_read_once(tmp_path: Path, files: list[Path], read: list[str]) -> None:
    cache = tmp_path / "kept" / "cache.json"
    wanted = [sha256(name).hexdigest() for name in (b"a", b"b")]
    assert content_digests([*files, files[0]], cache, jobs=2) == [*wanted, wanted[0]] and sorted(read) == ["a", "b"]
    assert content_digests(files[1:], cache) == wanted[1:] and content_digests(files, cache) == wanted
    assert len(read) == 2


@pytest.mark.parametrize("change", ["touch", "copy", "lost", "broken"])
def test_another_file_of_the_same_content_gives_the_same(
    tmp_path: Path, files: list[Path], read: list[str], change: str
) -> None:
    cache = tmp_path / "cache.json"
    before = content_digests(files, cache)
    if change == "touch":
        files[0].touch()
    elif change == "copy":
        shutil.copyfile(files[0], tmp_path / "c")
        os.replace(tmp_path / "c", files[0])
    elif change == "lost":
        cache.unlink()
    else:
        cache.write_text("{")
    read.clear()
    assert content_digests(files, cache) == before and "a" in read


def test_an_exchange_is_seen_whatever_its_size_and_time_of_change(tmp_path: Path, files: list[Path]) -> None:
    cache, stat = tmp_path / "cache.json", files[0].stat()
    before = content_digests(files, cache)
    files[0].write_text("x")
    os.utime(files[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert content_digests(files, cache)[0] != before[0]


def test_what_changed_just_now_is_not_remembered(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "SETTLED", 60)
    content_digests(files, tmp_path / "cache.json")
    assert not (tmp_path / "cache.json").exists()


def test_files_that_are_gone_are_forgotten(tmp_path: Path, files: list[Path]) -> None:
    cache = tmp_path / "cache.json"
    content_digests(files, cache)
    files[0].unlink()
    files[1].write_text("new")
    content_digests(files[1:], cache)
    assert list(json.loads(cache.read_text())) == [str(files[1])]


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be read"):
        content_digests([tmp_path], tmp_path / "cache.json")
    with pytest.raises(
        UserError, match=r"gone\.tar: can't be read \(No such file or directory\); check the file and the"
    ):
        content_digests([tmp_path / "gone.tar"], tmp_path / "cache.json")
