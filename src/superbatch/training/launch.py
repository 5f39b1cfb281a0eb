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
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous.api import RendezvousError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from tqdm import tqdm

from superbatch.errors import TRACEBACK, Interrupted, UserError, wants_traceback
from superbatch.training.distributed import TIMEOUT, lost_another, ranks_here, waited_too_long
from superbatch.training.meeting import BACKEND, not_met, register
from superbatch.training.network import address_of

LINGER = 3.0  # seconds that a rank with an error of torch's stays, most likely because another died: so that the other is seen first
MEETING = 600  # seconds that the launches of several machines wait for each other
STOPPING = "300"  # seconds that ranks have for the step under way and its state, after a signal
# Exit codes of a crash that may not happen again: gloo's threads have one in some thousand runs.
CRASHES = (-signal.SIGSEGV, -signal.SIGBUS)
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)  # what the launch takes over
REMEDY = "give the same command again: it continues from the last checkpoint, with any number of processes"


log = logging.getLogger(__name__)


class _Crashed(UserError):
    """A rank crashed outside of Python."""


@dataclass(frozen=True)
class Processes:
    """Where the ranks of a training run.

    Attributes:
        processes: on each machine.
        machines: how many.
        rendezvous: `host:port` of one of them (the host may be an IPv6 address, in brackets or not), reachable from all; None on a single machine.
        name: the training's, the same on all machines: launches of one name find each other.
        interface: of the network by which the machines talk; None: that of the host's name.
        timeout: seconds that ranks wait for one that is silent.
    """

    processes: int
    machines: int = 1
    rendezvous: str | None = None
    name: str = "superbatch"
    interface: str | None = None
    timeout: int = TIMEOUT

    def config(self, logs: Path) -> LaunchConfig:
        """Return it in torch's words: no restarts, since the user's same command continues.

        Raises:
            UserError: no such interface.
        """
        register()
        return LaunchConfig(
            min_nodes=self.machines,
            max_nodes=self.machines,
            nproc_per_node=self.processes,
            run_id=self.name,
            rdzv_backend=BACKEND if self.rendezvous else "c10d",
            rdzv_endpoint=self.rendezvous or "localhost:0",
            rdzv_configs={"join_timeout": MEETING, "silence": self.timeout},
            # Without an interface torch takes the address of the host name.
            local_addr=None if self.interface is None else address_of(self.interface),
            max_restarts=0,
            start_method="spawn",
            logs_specs=DefaultLogsSpecs(log_dir=str(logs)),
        )


def launch(work: Callable[[], None], where: Processes) -> bool:
    """Call `work()` in every rank, and wait for all. Where a rank crashes on a single machine, all are started once more.

    Args:
        work: can be pickled (a module's function, or a partial of one).
        where: the ranks.

    Returns:
        Whether rank 0 was on this machine.

    Raises:
        UserError: what a rank raised, or that one died or was silent; all others have ended then. Machines that did not meet.
        Interrupted: a signal; all ranks were asked to stop, and have.
    """
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", STOPPING)
    try:
        return _launched(work, where)
    except _Crashed as crash:
        if where.machines > 1:  # the others' launches have ended with it
            raise
        log.warning("%s %s: all are started once more, from the last checkpoint", crash.where, crash.what)
        return _launched(work, where)


def _launched(work: Callable[[], None], where: Processes) -> bool:
    with tempfile.TemporaryDirectory(prefix="superbatch-ranks-") as folder, _quiet(), _own_signals():
        try:
            return 0 in elastic_launch(where.config(Path(folder) / "logs"), _rank)(work, Path(folder))
        except ChildFailedError as error:
            raise _told(error.failures, Path(folder), where.timeout) from None
        except SignalException as asked:
            raise _told({}, Path(folder), where.timeout, asked.sigval) from None
        except RendezvousError as error:
            if any(Path(folder).glob("*.rank")):  # they had met
                raise _told({}, Path(folder), where.timeout, cut_off=True) from None
            raise not_met(where.machines, where.rendezvous, _why(error)) from None


def _rank(work: Callable[[], None], folder: Path) -> None:
    """Run one rank. Write down what went wrong, and make sure that the rank that died is reported before those that only lost it."""
    os.setpgid(0, 0)  # Ctrl-C reaches the launch alone, which passes it on: the same signal twice would stop at once
    tqdm.set_lock(
        threading.RLock()
    )  # its own is shared by several processes, and a killed process would leave it behind
    (folder / f"{ranks_here().rank}.rank").touch()
    try:
        work()
    except UserError as error:
        _note(folder, "mistake", error.where, error.what, error.remedy)
    except Interrupted as asked:
        _note(folder, "asked", str(asked), asked.signum)
    except Exception as error:
        kind = "waited" if waited_too_long(error) else "lost" if lost_another(error) else "bug"
        _note(folder, kind, f"{type(error).__name__}: {' '.join(str(error).split())}")
        if wants_traceback():
            traceback.print_exc()
        time.sleep(LINGER)
    else:
        return
    _leave()


def _leave() -> NoReturn:
    """End this rank at once: threads of torch's may still wait for the other ranks, and an ordinary end can abort on them."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _note(folder: Path, kind: str, *what: str | int) -> None:
    rank = ranks_here().rank
    note = {"when": time.time(), "kind": kind, "rank": rank, "what": what}
    (folder / f"{rank}.json").write_text(json.dumps(note))


def _told(
    failures: dict[int, ProcessFailure],
    folder: Path,
    timeout: int,
    asked: int = signal.SIGINT,
    *,
    cut_off: bool = False,
) -> UserError | Interrupted:
    """Say what the first rank to fail noted; before that, which rank was killed or silent: the others then only note that they lost it.

    Args:
        failures: of ranks here. folder: of the notes. timeout: of the training.
        asked: the signal that stopped the launch. cut_off: the store of all machines was lost, and the ranks here were stopped for it.
    """
    notes = sorted((json.loads(path.read_text()) for path in folder.glob("*.json")), key=lambda note: note["when"])
    first: dict[str, Any] = {}
    for note in notes:
        first.setdefault(note["kind"], note)
    if "mistake" in first:
        return UserError(*first["mistake"]["what"])
    noted = {note["rank"] for note in notes}
    for rank, failure in failures.items():
        if rank in noted:  # however it ended after that, its note says why
            continue
        if failure.exitcode in CRASHES:
            return _rank_failed(rank, f"died of {failure.signal_name()}", REMEDY, _Crashed)
        if failure.exitcode < 0:
            return _rank_failed(rank, f"died of {failure.signal_name()}", REMEDY)
        return _rank_failed(rank, f"ended with exit code {failure.exitcode} and no message", REMEDY)
    if "waited" in first:
        return _silent(folder, noted, timeout)
    if "asked" in first and not cut_off:
        return Interrupted(*first["asked"]["what"])
    if "bug" in first:
        remedy = f"{REMEDY}; {TRACEBACK}=1 in the environment shows where"
        return _rank_failed(first["bug"]["rank"], f"failed ({first['bug']['what'][0]})", remedy)
    if "lost" in first or cut_off:
        how = "ended or was cut off, and the ranks of this machine were stopped"
        return UserError("a rank of another machine", how, f"that machine may say why; {REMEDY}")
    return Interrupted("stopped before a step was finished; to continue, give the same command again", asked)


def _silent(folder: Path, noted: set[int], timeout: int) -> UserError:
    """Name the ranks of this machine that reported nothing while another rank waited for them in vain."""
    silent = sorted({int(path.stem) for path in folder.glob("*.rank")} - noted)
    who = "a rank of another machine"
    if silent:
        who = f"rank{'s' if len(silent) > 1 else ''} {', '.join(map(str, silent))}"
    how = f"gave no answer for {timeout:,} seconds, and the ranks were stopped"
    return UserError(who, how, f"{REMEDY}; where it was only slow, set training.timeout higher")


def _why(error: RendezvousError) -> str:
    """Say in one line why machines did not meet; torch's own class for those that came too late has no words."""
    return " ".join(str(error.__cause__ or error).split("\n")[0].split()) or f"not all came within {MEETING:,} seconds"


def _rank_failed(rank: int, how: str, remedy: str, kind: type[UserError] = UserError) -> UserError:
    return kind(f"rank {rank}", f"{how}, and the other ranks were stopped", remedy)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence logging in this process while it waits: torch logs a whole stack when a rank ends."""
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
