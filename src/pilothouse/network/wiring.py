"""Lays a cluster's wires and takes them up again: the shell around `topology`.

Everything is idempotent: a switch or a node that is already wired (the daemon was killed and came back) is
left as it is, so that running containers keep their connections.
"""

from __future__ import annotations

import ipaddress
import shutil
from collections.abc import Iterable
from pathlib import Path

from .shell import SEARCH_PATH, CommandFailed, ip, namespaces, nft, run, sysctl
from .topology import (
    CLUSTERS_MAX,
    ClusterNetwork,
    NodeNetwork,
    firewall_rules,
    host_rules,
    node_commands,
    route_commands,
    switch_commands,
)

NODE_SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    "net.ipv4.conf.all.route_localnet": "1",  # a NodePort on 127.0.0.1 inside the node
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
}


async def lay_switch(net: ClusterNetwork) -> None:
    """The cluster's bridge and the host's end of it; masquerading to the world."""
    if not await _is_laid(net.switch_netns, "", net.host_interface):
        await take_up_switch(net)
        await run("ip", "netns", "add", net.switch_netns)
        await ip(switch_commands(net))
    await sysctl("", {"net.ipv4.ip_forward": "1"})
    await nft("", host_rules(net))
    await _let_through(net)


async def _let_through(net: ClusterNetwork) -> None:
    """Docker and ufw drop what the host forwards or gets: rules of our own table cannot change that, some of theirs can."""
    for program, rule in await _firewall_rules(net):
        try:
            await run(program, "-w", "-C", *rule)
        except CommandFailed:
            await run(program, "-w", "-I", *rule)


async def _firewall_rules(net: ClusterNetwork) -> list[tuple[str, tuple[str, ...]]]:
    """(variant of iptables, rule) for each chain that is there; where there is none, none is made (by asking, say)."""
    legacy = Path("/proc/net/ip_tables_names")
    found = []
    for rule in firewall_rules(net):
        if legacy.exists() and "filter" in legacy.read_text().split():
            found.append(("iptables-legacy", rule))
        if await run("nft", "list", "chain", "ip", "filter", rule[0], check=False):
            found.append(("iptables-nft", rule))
    return [(program, rule) for program, rule in found if shutil.which(program, path=SEARCH_PATH)]


async def _is_laid(netns: str, where: str, interface: str) -> bool:
    """Whether this namespace is there, and the interface (in `where`) that is made last: not if its maker was killed."""
    if netns not in await namespaces():
        return False
    inside = ["-n", where] if where else []
    return "UP" in await run("ip", *inside, "-br", "link", "show", interface, check=False)


async def lay_node(net: ClusterNetwork, node: NodeNetwork, others: Iterable[NodeNetwork]) -> None:
    """A node's namespace, with its link to the switch. `others`: all other nodes that the cluster is to have."""
    if not await _is_laid(node.netns, node.netns, "eth0"):
        await take_up_node(net, node)
        await run("ip", "netns", "add", node.netns)
        await sysctl(node.netns, NODE_SYSCTLS)
        await ip(node_commands(net, node))
    await ip(route_commands(node, others))


async def take_up_node(net: ClusterNetwork, node: NodeNetwork) -> None:
    """Removes a node's namespace and link. What ran in it must have been stopped."""
    await run("ip", "-n", net.switch_netns, "link", "delete", node.host_interface, check=False)
    await run("ip", "route", "delete", node.pod_cidr, check=False)
    await run("ip", "netns", "delete", node.netns, check=False)


async def take_up_switch(net: ClusterNetwork) -> None:
    """Removes what is left of a cluster on the host: its interface (with its routes), its rules, its namespace."""
    await run("ip", "link", "delete", net.host_interface, check=False)
    await run("nft", "delete", "table", "ip", net.nft_table, check=False)
    for program, rule in await _firewall_rules(net):
        await run(program, "-w", "-D", *rule, check=False)
    await run("ip", "netns", "delete", net.switch_netns, check=False)


async def free_index(name: str, taken: set[int]) -> int:
    """An index whose addresses nobody on this machine uses, best of all not as part of a wider network (a VPN's, say)."""
    words = (await run("ip", "-4", "route", "show", "table", "all")).split()
    words += (await run("ip", "-4", "-o", "addr", "show")).split()
    used = set(filter(None, map(_network, words)))
    for narrowest in (1, 17):
        relevant = [network for network in used if network.prefixlen >= narrowest]
        for index in range(CLUSTERS_MAX):
            net = ClusterNetwork(index, name)
            own = (net.node_subnet, ipaddress.IPv4Network(net.pod_cidr))
            if index not in taken and not any(o.overlaps(network) for o in own for network in relevant):
                return index
    raise CommandFailed("no free network for another cluster on this machine")


def _network(word: str) -> ipaddress.IPv4Network | None:
    """The network that a word of ip's output names; an address is one of 32 bits. Not 0.0.0.0 and not metrics."""
    try:
        return ipaddress.IPv4Network(word, strict=False) if "." in word and word != "0.0.0.0" else None
    except ValueError:
        return None
