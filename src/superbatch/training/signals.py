"""Note SIGTERM and SIGINT during a training, and obey when the step is done."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)
NOTED = b"\nstopping when this step is done and saved; the same signal again stops at once\n"


class Stop:
    """Whether somebody asked to stop.

    Attributes:
        signum: the signal that asked; None while nobody did.
    """

    signum: int | None = None


@contextmanager
def noting_signals(*, say: bool = True) -> Iterator[Stop]:
    """Note the first SIGTERM or SIGINT instead of dying of it, and say so; a second one does what it did before.

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
        stop.signum = signum
        if os.getpid() == process:
            _restore(before)
            if say:  # not through Python's stream: a log line may be half-written
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
