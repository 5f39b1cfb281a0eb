"""Errors that a user reads in one line: mistakes, and a training that was asked to stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from difflib import get_close_matches

TRACEBACK = "SUPERBATCH_TRACEBACK"  # in the environment: show where an error came from


class UserError(ValueError):
    """A mistake outside the code (a file, a key, a setting), reported in one line.

    Args:
        where: the file, key or parameter at fault.
        what: what is wrong with it.
        remedy: what to do about it; may be left out where `what` says it.
    """

    def __init__(self, where: str, what: str, remedy: str = "") -> None:
        line = f"{where}: {what}" + (f"; {remedy}" if remedy else "")
        super().__init__(" ".join(line.split()))
        self.where, self.what, self.remedy = where, what, remedy

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str, str]]:
        # Exceptions are rebuilt from `args` when they pass to another process; ours has three arguments, not one.
        return type(self), (self.where, self.what, self.remedy)


class DiskFull(UserError):
    """No space left for a file; nothing half-written is left of it.

    Args:
        where: the file or directory that was being written.
    """

    def __init__(
        self, where: str, what: str = "the disk is full", remedy: str = "make room and give the same command again"
    ) -> None:
        super().__init__(where, what, remedy)


class Interrupted(KeyboardInterrupt):
    """A training was stopped by a signal, with its state saved; reported in one line.

    Args:
        what: who stopped where, and how to go on.
        signum: the signal.
    """

    def __init__(self, what: str, signum: int = signal.SIGINT) -> None:
        super().__init__(what)
        self.signum = int(signum)

    @property
    def exit_code(self) -> int:
        """What a shell reports of a process that died of the signal: 128 + its number."""
        return 128 + self.signum


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """List the known names, the most likely one first."""
    names = list(known)
    close = get_close_matches(name, names, 1)
    return f"{f'did you mean {close[0]}? ' if close else ''}known: {', '.join(names)}"


def wants_traceback() -> bool:
    """Return whether the environment asks for whole tracebacks; processes that a training starts inherit this."""
    return os.environ.get(TRACEBACK, "") not in ("", "0")
