"""What a pattern of shards stands for, and a line of its own for everything that is no shard."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from superbatch.artifacts.atomic import atomic_directory, atomic_path, replace_directory, write_json
from superbatch.data.ingest import ingest
from superbatch.errors import UserError
from superbatch.files import expand_shards
from superbatch.listing import matches
from superbatch.stores.address import Address
from tests.data.shard_helpers import pairs, tar_bytes

Make = Callable[..., list[str]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make empty files in the working directory, and list what a pattern finds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    def made(spec: str | list[str], *names: str) -> list[str]:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return [path.as_posix() for path in expand_shards(spec)]

    return made


def test_globs_braces_and_lists(make: Make) -> None:
    names = ("a/00.tar", "a/01.tar", "a/02.tar", "b/x.tar")
    assert make("a/*.tar", *names) == ["a/00.tar", "a/01.tar", "a/02.tar"]
    assert make("a/{00..01}.tar") == ["a/00.tar", "a/01.tar"]
    assert make(["b/x.tar", "a/0[12].tar", "b/*.tar"]) == ["b/x.tar", "a/01.tar", "a/02.tar"]
    assert make("**/*.tar") == sorted(names)


def test_a_glob_takes_linked_folders_and_no_hidden_file(make: Make, tmp_path: Path) -> None:
    names = make("a/*.tar", "a/0.tar", "a/._0.tar", "a/.cache/1.tar", "elsewhere/b/2.tar")
    (tmp_path / "a" / "linked").symlink_to("../elsewhere")
    assert names == ["a/0.tar"] == make("a/[0-9]*.tar") == make("./a/?.tar")
    assert make("a/*/b/*.tar") == ["a/linked/b/2.tar"]
    assert make("a/**/*.tar") == ["a/0.tar", "a/linked/b/2.tar"]
    assert make("a/.*.tar") == ["a/._0.tar"] and make("a/.cache/*.tar") == ["a/.cache/1.tar"]
    with pytest.raises(UserError, match=r"^shards: a/\*\*\.tar: \*\* is next to other characters; write \*\* alone"):
        make("a/**.tar")


def test_shards_further_down_are_named(make: Make, tmp_path: Path) -> None:
    remedy = r"but further down there is {}; \*\* stands for folders at any depth: {}$"
    with pytest.raises(
        UserError, match=r"^shards: a/\*\.tar: no such shard, " + remedy.format("a/b/c/0.tar", r"a/\*\*/\*\.tar")
    ):
        make("a/*.tar", "a/b/c/0.tar")
    with pytest.raises(UserError, match=remedy.format("x/0.tgz", r"\*\*/\*\.tgz")):
        make("*.tgz", "x/0.tgz")
    with pytest.raises(UserError, match=r"a/1\*\.tar: no such shard; correct"):
        make("a/1*.tar")


def test_a_folder_that_may_not_be_read(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", closed)
    with pytest.raises(
        UserError, match=r"^shards: a/\*\.tar: can't be looked at \(Permission denied\); give this user"
    ):
        make("a/*.tar")


def test_paths_are_as_the_pattern_writes_them(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(str(tmp_path / "in [1]" / "a" / "0.tar"), "in [1]/a/0.tar", "in [1]/b/1.tar")
    monkeypatch.chdir(tmp_path / "in [1]" / "a")
    assert make("*.tar") == ["0.tar"] and make("../b/*.tar") == ["../b/1.tar"]
    assert make(f"{tmp_path}/in*/*/*.tar") == [f"{tmp_path}/in [1]/a/0.tar", f"{tmp_path}/in [1]/b/1.tar"]
    assert make(f"file://{tmp_path}/in*/a/*.tar") == [f"{tmp_path}/in [1]/a/0.tar"]


def test_an_address_is_listed_like_a_folder() -> None:
    memory = fsspec.filesystem("memory")
    for name in ("pool/0.tar", "pool/1.tar", "pool/.2.tar", "pool/x.txt"):
        memory.pipe(f"/listing/{name}", b"")
    shards = ["memory:///listing/pool/0.tar", "memory:///listing/pool/1.tar"]
    assert matches("memory://listing/pool/*.tar") == shards == matches("memory://listing/*/*.tar")
    assert matches("memory://listing/pool/0.tar") == shards[:1]
    assert matches("memory://listing/pool/2*.tar") == [] == matches("memory://listing/pool/2.tar")
    assert expand_shards("memory://listing/pool/*.tar") == [Address(url) for url in shards]
    assert expand_shards("memory://listing/pool/{0..1}.tar") == [
        Address(f"memory://listing/pool/{i}.tar") for i in (0, 1)
    ]
    with pytest.raises(UserError, match=r"^shards: memory://listing/other/\*\.tar: no such shard; correct the address"):
        expand_shards("memory://listing/other/*.tar")
    with pytest.raises(
        UserError, match=r"^shards: nobodys://x/\*\.tar: .*not known.*; use s3://, gs://, hf:// or another"
    ):
        expand_shards("nobodys://x/*.tar")


def test_a_tilde_is_the_home_folder(make: Make, tmp_path: Path) -> None:
    assert make("~/a/{0..1}.tar", "a/0.tar", "a/1.tar") == [f"{tmp_path}/a/0.tar", f"{tmp_path}/a/1.tar"]
    with pytest.raises(UserError, match=r"^shards: ~nobody-here/x\.tar: no home folder of that user is known; write"):
        make("~nobody-here/x.tar")


def test_names_that_are_there_as_written_are_names(make: Make) -> None:
    assert make("pool [1].tar", "pool [1].tar", "pool 1.tar") == ["pool [1].tar"]
    assert make("a{b.tar", "a{b.tar") == ["a{b.tar"]
    assert make("a{1,2}.tar", "a{1,2}.tar", "a1.tar", "a2.tar") == ["a{1,2}.tar"]


def test_brackets_that_find_nothing(make: Make) -> None:
    with pytest.raises(UserError, match=r"^shards: in \[1\]/\*\.tar: no such shard; .* write \[\[\] for a bracket"):
        make("in [1]/*.tar", "in [1]/x.tar")
    assert make("in [[]1]/*.tar") == ["in [1]/x.tar"]


@pytest.mark.parametrize("pattern", ["a/{00..03.tar", "a/00}.tar", "a/{{0,1}.tar"])
def test_a_brace_without_its_partner(make: Make, pattern: str) -> None:
    with pytest.raises(UserError, match=r"^shards: a/.*: an unmatched brace; close it, as in \{00000"):
        make(pattern)


@pytest.mark.parametrize("pattern", ["pool", "./pool/", "po*", "{pool,pool}"])
def test_a_folder(make: Make, pattern: str) -> None:
    with pytest.raises(UserError, match=r"pool/?: is a folder; name the shards in it: pool/\*\.tar$"):
        make(pattern, "pool/x.tar")


@pytest.mark.parametrize("pattern", ["x.tar", "*.tar"])
def test_a_link_that_leads_nowhere(make: Make, tmp_path: Path, pattern: str) -> None:
    (tmp_path / "x.tar").symlink_to("gone/y.tar")
    with pytest.raises(UserError, match=r"x\.tar: is a link to gone/y\.tar, which is not there; repair the link"):
        make(pattern)
    assert make("x.tar", "gone/y.tar") == ["x.tar"]


def test_pipes_commands_and_addresses(make: Make, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.tar")
    with pytest.raises(UserError, match=r"^shards: x\.tar: is a pipe; shards are read at random: write it to a file"):
        make("x.tar")
    with pytest.raises(
        UserError, match=r"0\.\.9\}\.tar -: is a command, not a file; shards are read at random, from files"
    ):
        make("pipe:aws s3 cp s3://b/{0..9}.tar -")


def test_devices_and_nothing(make: Make) -> None:
    with pytest.raises(UserError, match="/dev/null: is not a plain file"):
        make("/dev/null")
    for spec in ("x.tar", "*.tar", "{0..3}.tar"):
        with pytest.raises(UserError, match="no such shard; correct the path"):
            make(spec)
    with pytest.raises(UserError, match="the list is empty"):
        make([])


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    (tmp_path / "made").mkdir()
    shard = tmp_path / "x.tar"
    shard.write_bytes(b"none")
    uses: list[Callable[[], object]] = [
        lambda: write_json(tmp_path / "taken" / "x.json", {}),
        lambda: atomic_path(tmp_path / "taken" / "deep" / "x").__enter__(),
        lambda: atomic_directory(tmp_path / "taken" / "x").__enter__(),
        lambda: replace_directory(tmp_path / "made", tmp_path / "taken" / "x"),
        lambda: ingest([shard], tmp_path / "taken"),
    ]
    for use in uses:
        with pytest.raises(
            UserError, match=r"taken.*: can't be read or written \((File exists|Not a directory)\); give"
        ):
            use()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_folder_without_the_right_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(path: str, *_: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(os, "mkdir", refuse)  # the tests may be root's, whom no permission stops
    with pytest.raises(UserError, match=rf"new: can't be read or written \({os.strerror(number)}\); give this user"):
        write_json(tmp_path / "new" / "x.json", {})


def test_a_disk_that_is_mounted_read_only(tmp_path: Path) -> None:
    place, shard = tmp_path / "disk", tmp_path / "x.tar"
    place.mkdir()
    shard.write_bytes(tar_bytes(pairs(1)))
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        for use in (
            lambda: ingest([shard], place / "out"),
            lambda: ingest([shard], tmp_path / "out", scans=place / "s"),
        ):
            with pytest.raises(
                UserError, match=r"disk/(out|s): can't be read or written \(Read-only file system\); give"
            ):
                use()
    finally:
        subprocess.run(["umount", place], check=True)
