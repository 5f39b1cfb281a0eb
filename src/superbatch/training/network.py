"""Choose the network by which the machines of a training communicate."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from typing import Any

from superbatch.errors import UserError

SIOCGIFADDR = 0x8915  # Linux: the IPv4 address of an interface
NAMED_IN = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")  # variables in which gloo and nccl look for an interface


def talk_by(interface: str | None) -> None:
    """Let the process groups of this process talk by an interface; None leaves the choice to the environment, or to gloo and nccl.

    Raises:
        UserError: as `address_of` does.
    """
    if interface is not None:
        address_of(interface)
        os.environ.update(dict.fromkeys(NAMED_IN, interface))


def address_of(interface: str) -> str:
    """Return this machine's IPv4 address on an interface.

    Raises:
        UserError: there is no such interface, or it has none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            found = fcntl.ioctl(asking.fileno(), SIOCGIFADDR, struct.pack("256s", interface.encode()[:15]))
        except OSError:
            there = ", ".join(name for _, name in socket.if_nameindex())
            what = f"this machine has no interface {interface!r} with an IPv4 address"
            raise UserError("training.interface", what, f"there are: {there}") from None
    return socket.inet_ntoa(found[20:24])


def is_here(host: str) -> bool:
    """Tell whether a host name or address is one of this machine's, by any of its networks: only then can a socket be bound to it."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(_can_bind(family, address) for family, *_, address in found)


def _can_bind(family: int, address: tuple[Any, ...]) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as bound:
            bound.bind(address)
    except OSError:
        return False
    return True
