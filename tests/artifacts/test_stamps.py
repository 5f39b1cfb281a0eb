"""What is published is found again, whenever the process dies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from superbatch.artifacts import atomic, stamps
from superbatch.artifacts.atomic import replace_directory
from superbatch.artifacts.places import set_places
from superbatch.artifacts.shelf import drop_names
from superbatch.artifacts.stamps import STAMP, Staged, build_once, fault, find_stage, publish, read_stamp


class Killed(BaseException):
    """Stands for a signal."""


def built(root: Path, mark: str) -> Staged:
    return build_once("set", mark, root, lambda folder: (folder / "content").write_text(mark) and None)


@pytest.fixture(autouse=True)
def nowhere() -> Iterator[None]:
    """No place is known, before and after."""
    set_places([])
    yield
    set_places([])


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_around_the_move_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    root, target = tmp_path / "stages", tmp_path / "pool"
    publish(built(root, "old"), target)
    staged = built(root, "new")

    def dying(source: Path, place: Path) -> None:
        if moment == "after":
            replace_directory(source, place)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(stamps, "replace_directory", dying)
        publish(staged, target)
    set_places([target])
    found = find_stage("new", root)
    assert found is not None and (found.path / "content").read_text() == "new"
    publish(found, target)
    assert (target / "content").read_text() == "new"


def test_what_stands_under_another_name_is_copied_and_a_fresh_build_replaces(tmp_path: Path) -> None:
    root = tmp_path / "stages"
    publish(built(root, "one"), tmp_path / "a")
    found = find_stage("one", root)
    assert found is not None
    publish(found, tmp_path / "b")
    assert (tmp_path / "a" / "content").is_file() and (tmp_path / "b" / "content").is_file()
    fresh = build_once("set", "one", root, lambda folder: (folder / "content").write_text("anew") and None, fresh=True)
    publish(fresh, tmp_path / "b")
    assert (tmp_path / "b" / "content").read_text() == "anew"
    assert not (root / "one").exists()


def test_the_stamp_in_its_place_is_enough(tmp_path: Path) -> None:
    """A copied folder, a checkout, a pull: nothing of the staging folder came along, and times are new."""
    publish(built(tmp_path / "stages", "one"), tmp_path / "a" / "set")
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copyfile)
    root = tmp_path / "b" / "stages"
    assert find_stage("one", root) is None
    set_places([tmp_path / "b" / "set"])
    found = find_stage("one", root)
    assert found is not None and found.path == tmp_path / "b" / "set" and find_stage("other", root) is None
    before = (found.path / "content").stat().st_ino
    publish(found, found.path)
    assert (found.path / "content").stat().st_ino == before


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_directory_that_is_not_whole_is_not_done(tmp_path: Path, damage: str) -> None:
    """As a checkout leaves it that was killed."""
    publish(built(tmp_path / "stages", "one"), tmp_path / "set")
    assert read_stamp(tmp_path / "set") == "one"
    content = tmp_path / "set" / "content"
    content.unlink()
    if damage == "cut":
        content.write_text("o")
    assert read_stamp(tmp_path / "set") is None
    set_places([tmp_path / "set"])
    assert find_stage("one", tmp_path / "stages") is None


def test_stamps_of_earlier_versions_hold(tmp_path: Path) -> None:
    (tmp_path / STAMP).write_text('{"fingerprint": "one"}')
    assert read_stamp(tmp_path) == "one"


def test_what_dvc_removed_is_put_back_but_not_what_a_user_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, target = tmp_path / "stages", tmp_path / "set"
    publish(built(root, "one"), target)
    shutil.rmtree(target)
    assert find_stage("one", root) is None
    monkeypatch.setenv("DVC_STAGE", "ingest")
    found = find_stage("one", root)
    assert found is not None
    publish(found, target)
    assert read_stamp(target) == "one"
    shutil.rmtree(target)
    assert find_stage("one", root) is not None, "it is kept until something else stands there"
    publish(built(root, "two"), target)
    assert find_stage("one", root) is None


def test_a_disk_without_hard_links_only_costs_the_way_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    root = tmp_path / "stages"
    publish(built(root, "one"), tmp_path / "a")
    found = find_stage("one", root)
    assert found is not None and found.path.resolve() == tmp_path / "a"
    publish(found, tmp_path / "b")
    assert read_stamp(tmp_path / "a") == read_stamp(tmp_path / "b") == "one"


def test_second_names_take_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where DVC, or a copy of the project, has put other files into the place, they are names of these at the next run."""
    root, target = tmp_path / "stages", tmp_path / "set"
    publish(built(root, "one"), target)
    (target / "new").write_text((target / "content").read_text())
    os.replace(target / "new", target / "content")
    set_places([target])
    found = find_stage("one", root)
    assert found is not None
    publish(found, target)
    assert {path.stat().st_nlink for path in target.iterdir()} == {2}
    drop_names(target, root)
    assert {path.stat().st_nlink for path in target.iterdir()} == {1}
    shutil.rmtree(target)
    monkeypatch.setenv("DVC_STAGE", "ingest")
    assert find_stage("one", root) is None


def test_what_is_wrong_with_a_directory(tmp_path: Path) -> None:
    folder = built(tmp_path, "mark").path
    assert fault(folder) is None and read_stamp(folder) == "mark"
    assert fault(tmp_path / "none") == (tmp_path / "none", "not there yet, or not finished")
    (folder / "content").write_text("ma")
    assert fault(folder) == (folder / "content", "is damaged: 2 bytes, and its stage had written 4")
    assert read_stamp(folder) is None
    (folder / "content").unlink()
    assert fault(folder) == (folder / "content", "is missing, though its stage had written it")


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "\x00\x01"])
def test_a_damaged_stamp_says_nothing_and_the_stage_runs_again(tmp_path: Path, text: str) -> None:
    folder = built(tmp_path, "mark").path
    (folder / STAMP).write_text(text)
    assert fault(folder) == (folder / STAMP, "is damaged")
    assert find_stage("mark", tmp_path) is None
    assert read_stamp(built(tmp_path, "mark").path) == "mark"


def test_a_damaged_record_of_what_was_published_knows_nothing(tmp_path: Path) -> None:
    publish(built(tmp_path / "stages", "mark"), tmp_path / "pool")
    for text in ("{", "{}", "[1]"):
        next((tmp_path / "stages" / "published").glob("*.json")).write_text(text)
        assert find_stage("mark", tmp_path / "stages") is None
    publish(built(tmp_path / "stages", "mark"), tmp_path / "pool")
    assert find_stage("mark", tmp_path / "stages") is not None


def test_what_another_command_has_published_meanwhile_stays(tmp_path: Path) -> None:
    staged = built(tmp_path / "stages", "mark")
    publish(staged, tmp_path / "pool")
    publish(staged, tmp_path / "pool")  # the second command's: the directory is no longer where it was staged
    assert read_stamp(tmp_path / "pool") == "mark"
    with pytest.raises(FileNotFoundError):
        publish(Staged(staged.path, "other", staged.root), tmp_path / "pool")


@pytest.mark.parametrize("form", [".{0.name}.{1}.old", ".{0.name}.{2}.{1}.old"])
def test_what_a_killed_process_of_the_same_number_moved_aside_is_in_nobodys_way(tmp_path: Path, form: str) -> None:
    """In a container every command is process 1. The first form is that of earlier versions."""
    new, target = tmp_path / "new", tmp_path / "pool"
    aside = target.with_name(form.format(target, os.getpid(), os.uname().nodename))
    for folder in (new, target, aside):
        folder.mkdir()
        (folder / "content").write_text(folder.name)
    replace_directory(new, target)
    assert (target / "content").read_text() == "new"


def test_two_commands_that_move_to_one_place_leave_one_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs, target = tmp_path / "mine", tmp_path / "theirs", tmp_path / "pool"
    for folder in (mine, theirs):
        folder.mkdir()
        (folder / "content").write_text(folder.name)
    rename = os.rename

    def late(source: Path, place: Path) -> None:
        if source == mine and theirs.exists():  # the other command is quicker
            rename(theirs, target)
        rename(source, place)

    monkeypatch.setattr(atomic.os, "rename", late)
    replace_directory(mine, target)
    assert (target / "content").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pool"]
    assert [path.name for path in target.iterdir()] == ["content"]
