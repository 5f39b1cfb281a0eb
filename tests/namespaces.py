"""Two "machines" on one: network namespaces with a cable between them, and nothing else that they share but the disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Machine:
    """One of the two: the words before a command that run it there, its interface and its address."""

    prefix: tuple[str, ...]
    interface: str
    address: str


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """Make both, and take them down at the end; skips the test where that needs rights that it doesn't have."""
    if shutil.which("ip") is None:
        pytest.skip("there is no iproute2")
    names = [f"superbatch-{os.getpid()}-{number}" for number in range(2)]
    machines = [
        Machine(("ip", "netns", "exec", name), interface, f"10.231.{os.getpid() % 256}.{number}")
        for number, (name, interface) in enumerate(zip(names, ("left0", "right0"), strict=True), 1)
    ]
    try:
        try:
            _build(names, machines)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not allowed here: {error.stderr.strip()}")
        yield machines[0], machines[1]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _build(names: list[str], machines: list[Machine]) -> None:
    for name in names:
        _ip("netns", "add", name)
        _ip("-n", name, "link", "set", "lo", "up")
    left, right = machines
    ends = ("type", "veth", "peer", "name", right.interface, "netns", names[1])
    _ip("-n", names[0], "link", "add", left.interface, *ends)
    for name, machine in zip(names, machines, strict=True):
        _ip("-n", name, "address", "add", f"{machine.address}/24", "dev", machine.interface)
        _ip("-n", name, "link", "set", machine.interface, "up")
