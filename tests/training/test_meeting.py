"""Machines that look for each other: who cannot be found is told in one line, without torch's pages of stack."""

from __future__ import annotations

import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from torch.distributed.elastic.rendezvous import RendezvousParameters

from superbatch.errors import UserError
from superbatch.training import meeting
from superbatch.training.launch import Processes, launch
from superbatch.training.meeting import give_up_after, wait_for
from tests.in_ranks import free_port, has_ipv6

WITH_IPV6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


def test_a_name_that_nobody_has_is_told_at_once(capfd):
    with pytest.raises(UserError, match=r"training\.rendezvous: this machine knows no host 'no\.such\.host\.invalid'"):
        launch(lambda: None, Processes(1, 2, "no.such.host.invalid:29400"))
    assert "frame #" not in capfd.readouterr().err


def test_a_port_at_which_nobody_listens_is_told(monkeypatch, capfd):
    monkeypatch.setattr(meeting, "is_here", lambda _: False)  # the other machine, which is down
    monkeypatch.setattr("superbatch.training.launch.MEETING", 2)
    port = free_port()
    line = (
        rf"2 machines did not meet at 127\.0\.0\.1:{port} \(nobody answered there for 2 seconds: Connection refused\)"
    )
    with pytest.raises(UserError, match=line):
        launch(lambda: None, Processes(1, 2, f"127.0.0.1:{port}"))
    assert "frame #" not in capfd.readouterr().err


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("[::1]", marks=WITH_IPV6)])
def test_who_waits_alone_is_told_how_long(monkeypatch, host):
    monkeypatch.setattr("superbatch.training.launch.MEETING", 2)
    line = rf"2 machines did not meet at {re.escape(host)}:\d+ \(not all came within 2 seconds\)"
    with pytest.raises(UserError, match=line):
        launch(lambda: None, Processes(1, 2, f"{host}:{free_port()}"))


@WITH_IPV6
def test_machines_meet_at_an_ipv6_address():
    """Both are this one: the first holds the store, the second comes to it."""
    asked = RendezvousParameters(meeting.BACKEND, f"[::1]:{free_port()}", "run", 2, 2, join_timeout=30)
    with ThreadPoolExecutor() as threads:
        found = list(threads.map(lambda handler: handler.next_rendezvous(), [meeting._meet(asked) for _ in range(2)]))
    assert sorted((one.rank, one.world_size) for one in found) == [(0, 2), (1, 2)]


@WITH_IPV6
def test_an_ipv6_address_is_told_in_brackets():
    with pytest.raises(UserError, match=r"did not meet at \[::1\]:\d+ \(nobody answered there for 0 seconds: "):
        wait_for("::1", free_port(), 2, 0.1)


def test_a_host_that_comes_later_is_waited_for():
    port, server = free_port(), socket.socket()

    def listen() -> None:
        server.bind(("127.0.0.1", port))
        server.listen()

    with server:
        later = threading.Timer(1, listen)
        later.start()
        wait_for("127.0.0.1", port, 2, 60)
        later.join()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="connections are found on Linux only")
def test_connections_to_a_port_have_a_limit_and_others_keep_theirs():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as another:
        pair = [socket.create_connection(one.getsockname()) for one in (server, another)]
        give_up_after(7, server.getsockname()[1])
        limits = [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) for one in pair]
        for one in pair:
            one.close()
    assert limits == [7000, 0]
