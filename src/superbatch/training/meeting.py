"""Where the machines of a training meet: torch's rendezvous over a store that one of them holds.

torch's own way there has three faults for a user: each try to reach a host that is not up yet writes a page of stack, a name that nobody
knows is tried for as long as any other, and a machine that is cut off waits for the store without end.
"""

from __future__ import annotations

import os
import socket
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from torch.distributed import TCPStore
from torch.distributed.elastic.rendezvous import rendezvous_handler_registry
from torch.distributed.elastic.rendezvous.c10d_rendezvous_backend import C10dRendezvousBackend
from torch.distributed.elastic.rendezvous.dynamic_rendezvous import create_handler

from superbatch.errors import UserError
from superbatch.training.network import is_here

if TYPE_CHECKING:
    from torch.distributed.elastic.rendezvous.api import RendezvousHandler, RendezvousParameters

BACKEND = "superbatch"  # its name among torch's
STORE = 60  # seconds that the store may take for an answer
TRY, PAUSE = 5.0, 0.5  # seconds for one try to reach it, and between two


def register() -> None:
    """Make the way known to torch's elastic launch; a second time does nothing."""
    rendezvous_handler_registry.register(BACKEND, _meet)


class _Backend(C10dRendezvousBackend):
    name = BACKEND  # the registry compares it with what was asked for


def _meet(asked: RendezvousParameters) -> RendezvousHandler:
    """Return torch's handler of a rendezvous, with `silence`: seconds after which a store that doesn't answer is given up.

    Raises:
        UserError: as `wait_for`.
    """
    host, _, port = asked.endpoint.rpartition(":")
    where = (host.strip("[]"), int(port))  # brackets stand around an IPv6 address
    store = _held(*where) if is_here(where[0]) else None
    if store is None:
        wait_for(*where, asked.min_nodes, asked.get_as_int("join_timeout") or 0)
        store = TCPStore(*where, is_master=False, multi_tenant=True, timeout=timedelta(seconds=STORE))
    give_up_after(asked.get_as_int("silence") or 0, where[1])
    return create_handler(store, _Backend(store, asked.run_id), asked)


def _held(host: str, port: int) -> TCPStore | None:
    """Hold the store; None if another process of this machine does."""
    try:
        return TCPStore(host, port, is_master=True, multi_tenant=True, timeout=timedelta(seconds=STORE))
    except (ValueError, RuntimeError):  # the port is taken
        return None


def wait_for(host: str, port: int, machines: int, seconds: float) -> None:
    """Wait until somebody listens at an address.

    Raises:
        UserError: nobody has the name, or nobody answered.
    """
    until, found = time.monotonic() + seconds, ""
    while time.monotonic() < until:
        try:
            with socket.create_connection((host, port), timeout=TRY):
                return
        except socket.gaierror as error:
            found = str(error.strerror)
            if error.errno == socket.EAI_NONAME:
                break
        except OSError as error:
            found = error.strerror or str(error)
        time.sleep(PAUSE)
    else:
        shown = f"[{host}]" if ":" in host else host
        raise not_met(machines, f"{shown}:{port}", f"nobody answered there for {seconds:,.0f} seconds: {found}")
    remedy = "give a name or an address of one of the machines that all of them know"
    raise UserError("training.rendezvous", f"this machine knows no host {host!r} ({found})", remedy)


def not_met(machines: int, rendezvous: str | None, why: str) -> UserError:
    """Return what a machine says that did not meet the others."""
    remedy = (
        "give all of them the same command at about the same time, with a host and port that no firewall closes; "
        "on machines with several networks set training.interface"
    )
    return UserError("training.rendezvous", f"{machines} machines did not meet at {rendezvous} ({why})", remedy)


def give_up_after(seconds: int, port: int) -> None:
    """Let this process's connections to a port end with an error after so many seconds without an answer.

    By itself the kernel takes a quarter of an hour, and torch's store waits for as long, whatever its timeout. On Linux only.
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as connection:
                if connection.getpeername()[1] == port:
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * seconds)
        except OSError:
            continue  # no connection, or closed meanwhile
