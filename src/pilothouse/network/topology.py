"""Where everything in a cluster's network lives: addresses, names of namespaces and interfaces, as pure values.

One cluster has one *switch*: a network namespace with a bridge in it. The host and every node hang on it by
a veth pair each. Why not a bridge on the host: bridge-netfilter would run the host's own firewall (Docker's
FORWARD DROP, say) over the traffic between nodes.

    host  ph0 .1 ──┐                       ┌── eth0 .2  node-1 ── cni0 ── pods 10.100.1.0/24
                   ├── br0 (switch netns) ─┤
                                           └── eth0 .3  node-2 ── cni0 ── pods 10.100.2.0/24

Pods of another node are reached by a route through that node's address, as with flannel's host-gw. A load
balancer address is routed by the host to the nodes; their service rules do the rest.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

SERVICE_CIDR = "10.96.0.0/16"
DNS_SERVICE_IP = "10.96.0.10"
KUBERNETES_SERVICE_IP = "10.96.0.1"
CLUSTER_DOMAIN = "cluster.local"
NODES_MAX = 180  # addresses .2 … .181 of the node network
CLUSTERS_MAX = 100  # on one machine
LOAD_BALANCER_FIRST, LOAD_BALANCER_LAST = 200, 254


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """What one node needs to be wired."""

    name: str
    ordinal: int  # from 1
    netns: str
    address: str
    pod_cidr: str
    host_interface: str  # the end of its veth pair in the switch
    resolv_conf: str = ""


@dataclass(frozen=True, slots=True)
class ClusterNetwork:
    """`index` (0 … CLUSTERS_MAX-1) tells the clusters of one machine apart."""

    index: int
    name: str
    service_cidr: str = SERVICE_CIDR

    @property
    def node_subnet(self) -> ipaddress.IPv4Network:
        return ipaddress.IPv4Network(f"172.30.{self.index}.0/24")

    @property
    def pod_cidr(self) -> str:
        return f"10.{100 + self.index}.0.0/16"

    @property
    def host_address(self) -> str:
        """The host as nodes and pods see it: the API server and the DNS server listen here."""
        return str(self.node_subnet[1])

    @property
    def switch_netns(self) -> str:
        return f"ph-{self.name}"

    @property
    def host_interface(self) -> str:
        return f"ph{self.index}"

    @property
    def nft_table(self) -> str:
        return f"pilothouse-{self.index}"

    @property
    def load_balancer_pool(self) -> tuple[str, str]:
        """First and last address that a Service of type LoadBalancer may get."""
        return str(self.node_subnet[LOAD_BALANCER_FIRST]), str(self.node_subnet[LOAD_BALANCER_LAST])

    def node(self, ordinal: int) -> NodeNetwork:
        assert 1 <= ordinal <= NODES_MAX, ordinal
        return NodeNetwork(
            name=f"node-{ordinal}",
            ordinal=ordinal,
            netns=f"ph-{self.name}-node-{ordinal}",
            address=str(self.node_subnet[1 + ordinal]),
            pod_cidr=f"10.{100 + self.index}.{ordinal}.0/24",
            host_interface=f"n{ordinal}",
        )


def switch_commands(net: ClusterNetwork) -> list[tuple[str, str]]:
    """(namespace or "" for the host, `ip` command) in order: the switch and the host's place on it."""
    switch = net.switch_netns
    return [
        (switch, "link set lo up"),
        (switch, "link add br0 type bridge stp_state 0 forward_delay 0"),
        (switch, "link set br0 up"),
        ("", f"link add {net.host_interface} type veth peer name host netns {switch}"),
        (switch, "link set host master br0 up"),
        ("", f"addr add {net.host_address}/{net.node_subnet.prefixlen} dev {net.host_interface}"),
        ("", f"link set {net.host_interface} up"),
    ]


def node_commands(net: ClusterNetwork, node: NodeNetwork) -> list[tuple[str, str]]:
    """Wires one node: its link, its address, the way to the world."""
    switch, ns = net.switch_netns, node.netns
    return [
        (ns, "link set lo up"),
        (switch, f"link add {node.host_interface} type veth peer name eth0 netns {ns}"),
        (switch, f"link set {node.host_interface} master br0 up"),
        (ns, f"addr add {node.address}/{net.node_subnet.prefixlen} dev eth0"),
        (ns, "link set eth0 up"),
        (ns, f"route replace default via {net.host_address}"),
    ]


def route_commands(node: NodeNetwork, others: Iterable[NodeNetwork]) -> list[tuple[str, str]]:
    """The ways to the other nodes' pods, whether those nodes are there yet or not; and the host's to this node's."""
    return [
        *[(node.netns, f"route replace {other.pod_cidr} via {other.address}") for other in others],
        ("", f"route replace {node.pod_cidr} via {node.address}"),
    ]


def host_rules(net: ClusterNetwork) -> str:
    """nftables on the host: what nodes and pods send to the world leaves with the host's address."""
    subnet, table = net.node_subnet, net.nft_table
    return f"""
table ip {table}
delete table ip {table}
table ip {table} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip saddr {{ {subnet}, {net.pod_cidr} }} oifname != "{net.host_interface}" masquerade
  }}
}}
"""


def firewall_rules(net: ClusterNetwork) -> list[tuple[str, ...]]:
    """What the host's own firewall must let through, in iptables' words after `-I`: the nodes' way to the host and to the world."""
    tail = ("-m", "comment", "--comment", net.nft_table, "-j", "ACCEPT")
    back = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED")
    inward = ("-i", net.host_interface, *tail)
    return [("INPUT", *inward), ("FORWARD", *inward), ("FORWARD", "-o", net.host_interface, *back, *tail)]


def cni_config(net: ClusterNetwork, node: NodeNetwork, data_dir: str) -> dict[str, object]:
    """The conflist that a node's containerd gives to the CNI plugins: a bridge, and addresses from a file."""
    return {
        "cniVersion": "0.4.0",
        "name": "pilothouse",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "isDefaultGateway": True,
                "hairpinMode": True,
                "ipMasq": False,  # the service rules masquerade, see services.py
                "ipam": {
                    "type": "host-local",
                    "dataDir": data_dir,
                    "ranges": [[{"subnet": node.pod_cidr}]],
                },
            }
        ],
    }
