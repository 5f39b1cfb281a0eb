"""Ranks started from here: what they raise comes back as one line, and none is left behind."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent

from superbatch.errors import Interrupted, UserError
from superbatch.training.distributed import joined, ranks_here
from superbatch.training.launch import Processes, launch

pytestmark = pytest.mark.slow


def work(folder: Path, fault: str = "", timeout: int = 600, interface: str | None = None) -> None:
    """Meet the other ranks; the last one has the fault."""
    with joined("cpu", timeout, interface) as ranks:
        (folder / f"{ranks.rank}").write_text(str(os.getpid()))
        assert ranks.most(ranks.rank) == ranks.world - 1 and ranks_here().neighbours == ranks.world
        if ranks.rank == ranks.world - 1:
            before = folder / "before"
            if fault != "crashed once":
                fail(fault)
            elif not before.exists():
                before.touch()
                fail("crashed")
        ranks.tell(0)


def fail(fault: str) -> None:
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "crashed":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    if fault == "gone":
        os._exit(3)
    if fault == "mistake":
        raise UserError("pool/0001.tar", "has 3 bytes", "fetch it again")
    if fault == "bug":
        raise RuntimeError("something broke\nin two lines")
    if fault == "asked":
        atexit.register(os.abort)  # as a thread of torch's does that still waits for the others when the process ends
        raise Interrupted("jest: stopped by SIGTERM", signal.SIGTERM)


def alive(folder: Path) -> list[str]:
    return [pid for pid in (file.read_text() for file in folder.iterdir()) if Path(f"/proc/{pid}").exists()]


def test_all_ranks_meet_and_end(tmp_path):
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert launch(partial(work, tmp_path), Processes(2))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0", "1"] and not alive(tmp_path)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert logging.root.manager.disable == logging.NOTSET


@pytest.mark.parametrize(
    ("fault", "kind", "line"),
    [
        ("killed", UserError, "rank 1: died of SIGKILL, and the other ranks were stopped; give the same command again"),
        ("mistake", UserError, "pool/0001.tar: has 3 bytes; fetch it again"),
        (
            "bug",
            UserError,
            "rank 1: failed (RuntimeError: something broke in two lines), and the other ranks were stopped",
        ),
        ("asked", Interrupted, "jest: stopped by SIGTERM"),
        ("gone", UserError, "rank 1: ended with exit code 3 and no message, and the other ranks were stopped"),
    ],
)
def test_a_rank_that_fails_is_told_in_one_line(tmp_path, capfd, fault, kind, line):
    with pytest.raises(kind) as caught:
        launch(partial(work, tmp_path, fault), Processes(2))
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)
    assert not alive(tmp_path)
    assert "Traceback" not in capfd.readouterr().err


def test_ranks_are_started_once_more_after_a_crash(tmp_path, caplog):
    """Of torch or gloo, which may not happen again; if it does, it is told."""
    assert launch(partial(work, tmp_path, "crashed once"), Processes(2))
    said = (
        "rank 1 died of SIGSEGV, and the other ranks were stopped: all are started once more, from the last checkpoint"
    )
    assert [record.message for record in caplog.records] == [said]
    caplog.clear()
    with pytest.raises(UserError) as caught:
        launch(partial(work, tmp_path, "crashed"), Processes(2))
    assert str(caught.value).startswith("rank 1: died of SIGSEGV, and the other ranks were stopped; give the same")
    assert [record.message for record in caplog.records] == [said]


def test_a_rank_that_hangs_ends_all_in_one_line(tmp_path, monkeypatch):
    """It takes the timeout, and the 30 seconds that torch gives a rank to end by itself: here one."""
    monkeypatch.setattr(LocalElasticAgent, "_stop_workers", lambda agent, _: agent._shutdown(timeout=1))
    start = time.monotonic()
    with pytest.raises(UserError) as caught:
        launch(partial(work, tmp_path, "stopped", 5), Processes(3, timeout=5))
    assert time.monotonic() - start < 120 and not alive(tmp_path)
    line = "rank 2: gave no answer for 5 seconds, and the ranks were stopped; give the same command again"
    assert str(caught.value).startswith(line) and "training.timeout" in str(caught.value)


def test_ranks_talk_by_a_named_interface(tmp_path):
    assert launch(partial(work, tmp_path, "", 600, "lo"), Processes(2, interface="lo"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0", "1"]
