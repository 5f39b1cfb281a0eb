"""Followers of trainings, such as trackers: set by the caller, and given the folder of each run.

The engine gives them nothing but the job: what happens in it they read from its records, so that no step waits for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from pathlib import Path

from superbatch.training.distributed import ranks_here
from superbatch.training.job import Job

Finished = Callable[[Path], None]  # called with the directory of the finished run's records
Follower = Callable[[Job], AbstractContextManager[Finished]]
_follower: ContextVar[Follower | None] = ContextVar("follower", default=None)


def follow_with(follower: Follower | None) -> None:
    """Say who follows the trainings that start next (`train_once`); None: nobody."""
    _follower.set(follower)


@contextmanager
def followed(job: Job) -> Iterator[Finished]:
    """Let a training be followed while it lasts; gives what is to be called once it is finished."""
    follower = _follower.get()
    if follower is None or not ranks_here().is_first:
        yield lambda training: None
        return
    with follower(job) as finished:
        yield finished
