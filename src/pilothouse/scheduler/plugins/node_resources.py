"""NodeResourcesFit and NodeResourcesBalancedAllocation: there must be room; emptier and more even nodes are better."""

from __future__ import annotations

from ..framework import SCORE_MAX, Cycle, Plugin, Rejection
from ..snapshot import NodeInfo


class NodeResourcesFit(Plugin):
    name = "NodeResourcesFit"
    local = True

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        reasons, resolvable = [], True
        if len(node.pods) + 1 > node.allocatable.get("pods", 0):
            reasons.append("Too many pods")
        for resource, wanted in cycle.info.requests.items():
            total = node.allocatable.get(resource, 0)
            if wanted and wanted > total - node.requested.get(resource, 0):
                reasons.append(f"Insufficient {resource}")
                if wanted > total:  # the node would be too small even when it were empty
                    resolvable = False
        return Rejection(self.name, tuple(reasons), resolvable) if reasons else None

    def score(self, cycle: Cycle, node: NodeInfo) -> float:
        """LeastAllocated over CPU and memory, each with weight 1; a pod without requests counts with the defaults."""
        info, allocatable = cycle.info, node.allocatable
        used = (
            (node.cpu_nonzero_milli + info.cpu_nonzero_milli, allocatable.get("cpu", 0)),
            (node.memory_nonzero_bytes + info.memory_nonzero_bytes, allocatable.get("memory", 0)),
        )
        scores = [
            (capacity - wanted) * SCORE_MAX // capacity if wanted <= capacity else 0.0
            for wanted, capacity in used
            if capacity
        ]
        return sum(scores) // len(scores) if scores else 0.0


class NodeResourcesBalancedAllocation(Plugin):
    name = "NodeResourcesBalancedAllocation"
    local = True

    def pre_score(self, cycle: Cycle, nodes: list[NodeInfo]) -> bool:
        """A pod that asks for neither makes no node more or less even."""
        return bool(cycle.info.requests.get("cpu") or cycle.info.requests.get("memory"))

    def score(self, cycle: Cycle, node: NodeInfo) -> float:
        wanted, requested = cycle.info.requests, node.requested
        fractions = [
            min(1.0, (requested.get(resource, 0) + wanted.get(resource, 0)) / capacity)
            for resource in ("cpu", "memory")
            if (capacity := node.allocatable.get(resource, 0))
        ]
        spread = abs(fractions[0] - fractions[1]) / 2 if len(fractions) == 2 else 0.0
        return float(int((1.0 - spread) * SCORE_MAX))
