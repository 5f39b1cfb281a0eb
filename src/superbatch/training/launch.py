"""One training in several processes, started from the process that a user started.

torch's elastic launch starts them, gives them torchrun's environment, and ends them all when one dies; a rendezvous joins the launches of
several machines. It is used, and not a plain spawn, because it is torchrun's own engine: one way to fail, to stop and to find each other,
whichever of the two started the ranks. What it says at length about a failure is put into one line here.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from tqdm import tqdm

from superbatch.errors import Interrupted, UserError
from superbatch.training.distributed import ranks_here

LINGER = 3.0  # seconds that a rank with an error of torch's stays, most likely because another died: so that the other is seen first
STOPPING = "300"  # seconds that ranks have for the step under way and its state, after a signal
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)  # what the launch takes over
REMEDY = "give the same command again: it continues from the last checkpoint, with any number of processes"


@dataclass(frozen=True)
class Processes:
    """Where the ranks of a training run.

    Attributes:
        processes: on each machine.
        machines: how many.
        rendezvous: `host:port` of one of them, reachable from all; None on a single machine.
        name: the training's, the same on all machines: launches of one name find each other.
    """

    processes: int
    machines: int = 1
    rendezvous: str | None = None
    name: str = "superbatch"

    def config(self, logs: Path) -> LaunchConfig:
        """Return it in torch's words: no restarts, since the user's same command continues."""
        return LaunchConfig(
            min_nodes=self.machines,
            max_nodes=self.machines,
            nproc_per_node=self.processes,
            run_id=self.name,
            rdzv_backend="c10d",
            rdzv_endpoint=self.rendezvous or "localhost:0",
            max_restarts=0,
            start_method="spawn",
            logs_specs=DefaultLogsSpecs(log_dir=str(logs)),
        )


def launch(work: Callable[[], None], where: Processes) -> bool:
    """Call `work()` in every rank, and wait for all.

    Args:
        work: can be pickled (a module's function, or a partial of one).
        where: the ranks.

    Returns:
        Whether rank 0 was on this machine.

    Raises:
        UserError: what a rank raised, or that one died; all others have ended then.
        Interrupted: a signal; all ranks were asked to stop, and have.
    """
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", STOPPING)
    with tempfile.TemporaryDirectory(prefix="superbatch-ranks-") as folder, _quiet(), _own_signals():
        try:
            return 0 in elastic_launch(where.config(Path(folder) / "logs"), _rank)(work, Path(folder))
        except ChildFailedError as error:
            raise _told(error.failures, Path(folder)) from None
        except SignalException:
            raise _told({}, Path(folder)) from None


def _rank(work: Callable[[], None], folder: Path) -> None:
    """Be one rank: leave a note of what a user should read, and let whoever died be seen before those who only lost it."""
    os.setpgid(0, 0)  # Ctrl-C reaches the launch alone, which passes it on: the same signal twice would stop at once
    tqdm.set_lock(threading.RLock())  # its own is for several processes, and a killed one would leave it behind
    try:
        work()
    except (UserError, Interrupted) as told:
        what = told.__reduce__()[1] if isinstance(told, UserError) else (str(told), told.signum)
        note = {"when": time.time(), "asked": isinstance(told, Interrupted), "what": what}
        (folder / f"{ranks_here().rank}.json").write_text(json.dumps(note))
        sys.exit(1)
    except Exception:
        time.sleep(LINGER)
        raise


def _told(failures: dict[int, ProcessFailure], folder: Path) -> UserError | Interrupted:
    """The first rank's own message; else which rank died, and of what; else that all were asked to stop."""
    notes = sorted((json.loads(path.read_text()) for path in folder.glob("*.json")), key=lambda note: note["when"])
    mistakes, asked = ([note["what"] for note in notes if note["asked"] is kind] for kind in (False, True))
    if mistakes:
        return UserError(*mistakes[0])
    rank, failure = min(failures.items(), key=lambda item: item[1].timestamp, default=(0, None))
    if asked and (failure is None or failure.exitcode >= 0):
        return Interrupted(*asked[0])
    if failure is None:
        return Interrupted("stopped before a step was finished; to continue, give the same command again")
    how = f"died of {failure.signal_name()}" if failure.exitcode < 0 else f"failed ({_last_line(failure.message)})"
    return UserError(f"rank {rank}", f"{how}, and the other ranks were stopped", REMEDY)


def _last_line(message: str) -> str:
    return next((line.strip() for line in reversed(message.splitlines()) if line.strip()), "without a word")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence this process while it only waits: of a rank's end torch logs its whole stack."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Put back the handlers that the launch replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in HANDLED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
