"""NodeUnschedulable: cordoned nodes take only pods that tolerate it."""

from __future__ import annotations

from ...api.tolerations import tolerates
from ..framework import Cycle, Plugin, Rejection
from ..snapshot import NodeInfo

REASON = "node(s) were unschedulable"
TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


class NodeUnschedulable(Plugin):
    name = "NodeUnschedulable"
    local = True

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        if not node.unschedulable or tolerates(cycle.pod["spec"].get("tolerations") or (), TAINT):
            return None
        return Rejection(self.name, (REASON,), resolvable=False)
