"""Two commands that train one run: the second is told, and the first is left alone."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from superbatch.errors import UserError
from superbatch.training.alone import alone_in


def hold(folder: Path, seconds: float) -> None:
    with alone_in(folder):
        (folder / "held").touch()
        time.sleep(seconds)


@pytest.fixture
def holder(tmp_path: Path) -> multiprocessing.Process:
    """A process that holds the state for long, unless it is killed."""
    process = multiprocessing.get_context("fork").Process(target=hold, args=(tmp_path / "state", 60))
    process.start()
    until = time.monotonic() + 30
    while not (tmp_path / "state" / "held").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    yield process
    process.kill()
    process.join()


def test_the_second_is_refused_and_one_that_was_killed_holds_nothing(
    tmp_path: Path, holder: multiprocessing.Process
) -> None:
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
