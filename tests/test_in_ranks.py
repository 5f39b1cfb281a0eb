"""Ranks of the tests: what they return, and that one that dies says where."""

from __future__ import annotations

import os
import signal

import pytest
from torch.multiprocessing import ProcessExitedException

from tests.in_ranks import in_processes, in_ranks


def test_each_rank_returns_what_it_was_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("ASKED_FOR", "here")
    monkeypatch.chdir(tmp_path)
    found = in_ranks(2, lambda word: (word, os.environ["RANK"], os.environ["ASKED_FOR"], os.getcwd()), tmp_path, "yes")
    assert found == [("yes", "0", "here", str(tmp_path)), ("yes", "1", "here", str(tmp_path))]


def test_a_rank_that_dies_of_native_code_says_where(tmp_path):
    def broken(rank: int) -> None:
        if rank == 1:
            os.kill(os.getpid(), signal.SIGSEGV)
        signal.pause()

    with pytest.raises(ProcessExitedException, match="process 1 terminated with signal SIGSEGV") as died:
        in_processes(2, broken, tmp_path)
    assert "in broken" in "".join(died.value.__notes__) and "Segmentation fault" in "".join(died.value.__notes__)
