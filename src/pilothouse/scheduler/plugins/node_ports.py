"""NodePorts: two pods of a node cannot have the same host port."""

from __future__ import annotations

from ..framework import Cycle, Plugin, Rejection
from ..snapshot import NodeInfo

REASON = "node(s) didn't have free ports for the requested pod ports"
ANY = "0.0.0.0"


class NodePorts(Plugin):
    name = "NodePorts"
    local = True

    def pre_filter(self, cycle: Cycle) -> Rejection | None:
        if not cycle.info.ports:
            cycle.skip(self)
        return None

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        for ip, protocol, port in cycle.info.ports:
            for other in node.pods.values():
                for other_ip, other_protocol, other_port in other.ports:
                    same_address = ANY in (ip, other_ip) or ip == other_ip
                    if port == other_port and protocol == other_protocol and same_address:
                        return Rejection(self.name, (REASON,))
        return None
