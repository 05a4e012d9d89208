"""TaintToleration: NoSchedule and NoExecute taints keep pods away; PreferNoSchedule makes a node worse."""

from __future__ import annotations

from ...api.tolerations import tolerates
from ..framework import Cycle, Plugin, Rejection, normalize_highest
from ..snapshot import NodeInfo

REASON = "node(s) had untolerated taint(s)"


class TaintToleration(Plugin):
    name = "TaintToleration"
    local = True

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        if not node.taints:
            return None
        tolerations = cycle.pod["spec"].get("tolerations") or ()
        for taint in node.taints:
            if taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerates(tolerations, taint):
                return Rejection(self.name, (REASON,), resolvable=False)
        return None

    def pre_score(self, cycle: Cycle, nodes: list[NodeInfo]) -> bool:
        return cycle.snapshot.softly_tainted > 0  # otherwise all nodes are equally good

    def score(self, cycle: Cycle, node: NodeInfo) -> float:
        tolerations = [
            toleration
            for toleration in cycle.pod["spec"].get("tolerations") or ()
            if toleration.get("effect") in (None, "", "PreferNoSchedule")
        ]
        soft = [taint for taint in node.taints if taint.get("effect") == "PreferNoSchedule"]
        return float(sum(not tolerates(tolerations, taint) for taint in soft))

    def normalize(self, cycle: Cycle, scores: list[float]) -> list[float]:
        return normalize_highest(scores, reverse=True)
