"""Interfaces by name, and whose address is this machine's."""

from __future__ import annotations

import os

import pytest

from superbatch.errors import UserError
from superbatch.training import network
from superbatch.training.launch import Processes
from superbatch.training.network import address_of, is_here, talk_by
from tests.in_ranks import has_ipv6


def test_an_interface_has_its_address():
    assert address_of("lo") == "127.0.0.1"


def test_an_unknown_interface_is_one_line_that_names_those_there_are(tmp_path):
    line = r"training\.interface: this machine has no interface 'eth77' with an IPv4 address; there are: .*\blo\b"
    for ask in (address_of, talk_by, lambda name: Processes(2, interface=name).config(tmp_path)):
        with pytest.raises(UserError, match=line):
            ask("eth77")


def test_gloo_and_nccl_hear_of_it(monkeypatch):
    for name in network.NAMED_IN:
        monkeypatch.setenv(name, "left as it is")
    talk_by(None)
    assert {os.environ[name] for name in network.NAMED_IN} == {"left as it is"}
    talk_by("lo")
    assert {os.environ[name] for name in network.NAMED_IN} == {"lo"}


@pytest.mark.parametrize(
    ("host", "ours"), [("localhost", True), ("127.0.0.1", True), ("192.0.2.1", False), ("no.such.host.invalid", False)]
)
def test_whose_address_it_is(host, ours):
    """192.0.2.1 is kept for documentation: nobody has it."""
    assert is_here(host) == ours


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_whose_ipv6_address_it_is():
    """2001:db8:: is kept for documentation."""
    assert is_here("::1") and not is_here("2001:db8::1")


def test_a_machine_is_known_by_its_address_on_the_interface(tmp_path):
    """torch goes by the host's name, which may stand for another network."""
    assert Processes(1, 2, "192.0.2.1:29400", interface="lo").config(tmp_path).local_addr == "127.0.0.1"
    assert Processes(1, 2, "192.0.2.1:29400").config(tmp_path).local_addr is None
