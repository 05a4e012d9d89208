"""TaintToleration: NoSchedule and NoExecute taints keep pods away; PreferNoSchedule makes a node worse."""

from __future__ import annotations

from ...api.tolerations import tolerates
from ..framework import Cycle, Rejection, normalize_highest
from ..snapshot import NodeInfo

REASON = "node(s) had untolerated taint(s)"


class TaintToleration:
    name = "TaintToleration"

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        if not node.taints:
            return None
        tolerations = cycle.pod["spec"].get("tolerations") or ()
        for taint in node.taints:
            if taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerates(tolerations, taint):
                return Rejection(self.name, (REASON,), resolvable=False)
        return None

    def score(self, cycle: Cycle, node: NodeInfo) -> float:
        tolerations = [
            toleration
            for toleration in cycle.pod["spec"].get("tolerations") or ()
            if toleration.get("effect") in (None, "", "PreferNoSchedule")
        ]
        soft = [taint for taint in node.taints if taint.get("effect") == "PreferNoSchedule"]
        return float(sum(not tolerates(tolerations, taint) for taint in soft))

    def normalize(self, cycle: Cycle, scores: dict[str, float]) -> None:
        normalize_highest(scores, reverse=True)
