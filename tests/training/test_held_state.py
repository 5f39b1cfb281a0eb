"""Two commands that train one run: the second waits, finds it finished or is told, and the first is left alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from superbatch.artifacts.stamps import read_stamp
from superbatch.errors import UserError
from superbatch.training import once
from superbatch.training.alone import alone_in
from superbatch.training.once import train_once
from tests.in_ranks import beside


def hold(folder: Path, seconds: float) -> None:
    with alone_in(folder):
        (folder / "held").touch()
        time.sleep(seconds)


def wait_for(file: Path) -> None:
    until = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < until, file
        time.sleep(0.01)


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[BaseProcess]:
    """A process that holds the state for long, unless it is killed."""
    process = beside(lambda: hold(tmp_path / "state", 60), tmp_path / "holder")
    wait_for(tmp_path / "state" / "held")
    yield process
    process.kill()
    process.join()


def test_the_second_is_refused_and_one_that_was_killed_holds_nothing(tmp_path: Path, holder: BaseProcess) -> None:
    refused = pytest.raises(
        UserError, match=r"state: another command is training this run now; wait for it, or stop it"
    )
    with refused, alone_in(tmp_path / "state", patience=0.0):
        pytest.fail("held twice")
    holder.kill()
    holder.join()
    with alone_in(tmp_path / "state", patience=0.0):
        assert (tmp_path / "state" / "held").exists()


def test_a_state_that_nothing_came_into_is_gone_again(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="mine"), alone_in(tmp_path / "state" / "run"):
        raise UserError("mine", "is wrong")
    assert list((tmp_path / "state").iterdir()) == []


def test_one_process_may_train_a_run_again(tmp_path: Path) -> None:
    for _ in range(2):
        with alone_in(tmp_path / "state", patience=0.0):
            pass


def test_whoever_waited_for_another_command_finds_the_run_finished(make_job, tmp_path: Path, monkeypatch) -> None:
    """The first trains once the second is about to wait; the second trains nothing."""
    stages, train, hold_state = tmp_path / "stages", once.train, alone_in

    def train_late(job) -> None:
        (tmp_path / "trains").touch()
        wait_for(tmp_path / "waits")
        train(job)

    def first() -> None:
        monkeypatch.setattr(once, "train", train_late)
        train_once(make_job(), stages)

    process = beside(first, tmp_path / "first")
    wait_for(tmp_path / "trains")

    def wait_in(folder: Path):
        (tmp_path / "waits").touch()
        return hold_state(folder, patience=60.0)

    monkeypatch.setattr(once, "alone_in", wait_in)
    monkeypatch.setattr(once, "train", lambda job: pytest.fail("trained twice"))
    model, training = train_once(make_job(), stages)
    process.join()
    assert process.exitcode == 0
    for staged in (model, training):
        assert read_stamp(staged.path) == staged.fingerprint


def test_a_state_that_can_not_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "states").write_text("no folder")
    with pytest.raises(UserError, match="can't be read or written"), alone_in(tmp_path / "states" / "run"):
        pytest.fail("held nothing")
