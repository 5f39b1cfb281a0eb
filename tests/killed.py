"""A command of the environment, killed by SIGKILL with all that it started once something is there."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.project import ENVIRONMENT


def killed_once(ready: Callable[[], object], folder: Path, arguments: Sequence[str], seconds: float = 600) -> None:
    """Start a command in a folder and kill it as soon as `ready` says so; that it ends by itself before is a failure."""
    running = subprocess.Popen(
        arguments,
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + seconds
        while not ready():
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        ended = running.wait()
    assert ended == -signal.SIGKILL, "it was finished already"
