"""Note SIGTERM and SIGINT during a training, and obey when the step is done."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)
ECHO = 2.0  # seconds after a signal in which a rank takes another for the same: Slurm signals every process, and the launch passes it on
NOTED = b"\nstopping when this step is done and saved; the same signal again stops at once\n"


class Stop:
    """Whether somebody asked to stop.

    Attributes:
        signum: the signal that asked; None while nobody did.
        when: it came, by the monotonic clock.
    """

    signum: int | None = None
    when: float = 0.0


@contextmanager
def noting_signals(*, of_rank: bool = False) -> Iterator[Stop]:
    """Note the first SIGTERM or SIGINT instead of dying of it, and say so; a second one does what it did before.

    A rank says nothing, since its launch speaks, and takes what comes within `ECHO` seconds for the same signal.

    Handlers are installed in the main thread only (Python allows no other), and put back at the end. Processes forked in
    between inherit them: Ctrl-C, which reaches the whole group, leaves them alive for the last step.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {signum: signal.getsignal(signum) or signal.SIG_DFL for signum in SIGNALS}
    process = os.getpid()

    def note(signum: int, frame: FrameType | None) -> None:
        if stop.signum is not None and os.getpid() == process:
            if time.monotonic() - stop.when > ECHO:
                _restore(before)
                os.kill(process, signum)
            return
        stop.signum, stop.when = signum, time.monotonic()
        if os.getpid() == process and not of_rank:
            _restore(before)
            # Not through Python's stream: a log line may be half-written.
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, NOTED)

    for signum in SIGNALS:
        signal.signal(signum, note)
    try:
        yield stop
    finally:
        _restore(before)


def _restore(before: Mapping[signal.Signals, Any]) -> None:
    for signum, handler in before.items():
        signal.signal(signum, handler)
