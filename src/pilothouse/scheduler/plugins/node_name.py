"""NodeName: a pod that names its node goes there only."""

from __future__ import annotations

from ..framework import Cycle, Plugin, Rejection
from ..snapshot import NodeInfo

REASON = "node(s) didn't match the requested node name"


class NodeName(Plugin):
    name = "NodeName"
    local = True

    def pre_filter(self, cycle: Cycle) -> Rejection | None:
        if not cycle.pod["spec"].get("nodeName"):
            cycle.skip(self)
        return None

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        if cycle.pod["spec"].get("nodeName") in (None, "", node.name):
            return None
        return Rejection(self.name, (REASON,), resolvable=False)
