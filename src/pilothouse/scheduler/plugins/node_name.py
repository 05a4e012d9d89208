"""NodeName: a pod that names its node goes there only."""

from __future__ import annotations

from ..framework import Cycle, Rejection
from ..snapshot import NodeInfo

REASON = "node(s) didn't match the requested node name"


class NodeName:
    name = "NodeName"

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        wanted = cycle.pod["spec"].get("nodeName")
        return Rejection(self.name, (REASON,), resolvable=False) if wanted and wanted != node.name else None
