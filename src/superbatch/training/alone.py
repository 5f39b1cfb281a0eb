"""One command at a time trains a run: two would write into one state."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from superbatch.artifacts.atomic import told_if_full
from superbatch.errors import UserError

PATIENCE, POLL = 15.0, 0.2  # seconds: workers outlive a killed process for some time, and keep its lock


@contextmanager
def alone_in(state_dir: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold a run's state, so that no other process trains the run meanwhile. Whoever dies lets go of it.

    Args:
        state_dir: of the run; it is made, and removed again if nothing came into it.
        patience: seconds to wait for another process that holds it.

    Raises:
        UserError: another process holds it; it can't be made there.
    """
    with told_if_full(state_dir):
        state_dir.mkdir(parents=True, exist_ok=True)
    held = os.open(state_dir, os.O_RDONLY)
    try:
        _take(held, state_dir, time.monotonic() + patience)
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_UN)  # also for processes that were forked meanwhile
        os.close(held)
        with suppress(OSError):  # it is not empty
            state_dir.rmdir()


def _take(held: int, state_dir: Path, until: float) -> None:
    while True:
        try:
            return fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                what = "another command is training this run now"
                raise UserError(str(state_dir), what, "wait for it, or stop it, and give this command again") from None
        except OSError:  # a file system without locks
            return None
        time.sleep(POLL)
