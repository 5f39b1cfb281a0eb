"""What is published is found again, whenever the process dies."""

from __future__ import annotations

from pathlib import Path

import pytest

from superbatch import stages
from superbatch.files import replace_directory
from superbatch.stages import Staged, build_once, find_stage, publish


class Killed(BaseException):
    """Stands for a signal."""


def built(root: Path, mark: str) -> Staged:
    return build_once("set", mark, root, lambda folder: (folder / "content").write_text(mark) and None)


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
        patch.setattr(stages, "replace_directory", dying)
        publish(staged, target)
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
