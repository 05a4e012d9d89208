"""A host whose own firewall drops what it forwards (Docker's, say): the nodes' way out is opened, and closed again."""

import os
import shutil
import sys

import pytest

from .conftest import run

SCRIPT = """
import asyncio
from pilothouse.network import wiring
from pilothouse.network.topology import ClusterNetwork
net = ClusterNetwork(77, "none")
asyncio.run(wiring.{function}(net))
"""


@pytest.fixture
def host():
    """Runs commands on a machine of their own: a network namespace."""
    name = f"e2e-fw-{os.getpid()}"
    run("ip", "netns", "add", name)
    yield lambda *command: run("ip", "netns", "exec", name, *command)
    run("ip", "netns", "delete", name)


def wiring(host, function):
    host(sys.executable, "-c", SCRIPT.format(function=function))


@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
def test_a_firewall_that_drops_lets_the_nodes_out_while_their_cluster_is_there(host, program):
    if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip(f"{program} is not installed")
    for chain in ("INPUT", "FORWARD"):
        host(program, "-P", chain, "DROP")
    before = host(program, "-S")
    wiring(host, "_let_through")
    wiring(host, "_let_through")
    rules = [line.split(" -m ")[0] for line in host(program, "-S").splitlines() if "pilothouse-77" in line]
    assert sorted(rules) == ["-A FORWARD -i ph77", "-A FORWARD -o ph77", "-A INPUT -i ph77"]
    wiring(host, "take_up_switch")
    assert host(program, "-S") == before


def test_a_machine_without_a_firewall_gets_none(host):
    wiring(host, "_let_through")
    assert host("nft", "list", "tables") == ""
