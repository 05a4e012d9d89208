"""NodeResourcesFit and NodeResourcesBalancedAllocation: there must be room; emptier and more even nodes are better."""

from __future__ import annotations

from ..framework import SCORE_MAX, Cycle, Rejection
from ..snapshot import NodeInfo


class NodeResourcesFit:
    name = "NodeResourcesFit"

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        reasons, resolvable = [], True
        allowed = node.allocatable.get("pods", 0)
        if len(node.pods) + 1 > allowed:
            reasons.append("Too many pods")
        for resource, wanted in cycle.info.requests.items():
            total = node.allocatable.get(resource, 0)
            if wanted > total - node.requested.get(resource, 0):
                reasons.append(f"Insufficient {resource}")
                if wanted > total:  # the node would be too small even when it were empty
                    resolvable = False
        return Rejection(self.name, tuple(reasons), resolvable) if reasons else None

    def score(self, cycle: Cycle, node: NodeInfo) -> float:
        """LeastAllocated over CPU and memory, each with weight 1."""
        scores = [
            (capacity - used) * SCORE_MAX // capacity if used <= capacity else 0.0
            for used, capacity in _use(cycle, node)
            if capacity
        ]
        return sum(scores) // len(scores) if scores else 0.0


class NodeResourcesBalancedAllocation:
    name = "NodeResourcesBalancedAllocation"

    def pre_score(self, cycle: Cycle, nodes: list[NodeInfo]) -> bool:
        return bool(cycle.info.requests)  # a best-effort pod makes no node more or less even

    def score(self, cycle: Cycle, node: NodeInfo) -> float:
        wanted = cycle.info.requests
        used = [
            (node.requested.get("cpu", 0) + wanted.get("cpu", 0), node.allocatable.get("cpu", 0)),
            (node.requested.get("memory", 0) + wanted.get("memory", 0), node.allocatable.get("memory", 0)),
        ]
        fractions = [min(1.0, requested / capacity) for requested, capacity in used if capacity]
        spread = abs(fractions[0] - fractions[1]) / 2 if len(fractions) == 2 else 0.0
        return float(int((1.0 - spread) * SCORE_MAX))


def _use(cycle: Cycle, node: NodeInfo) -> list[tuple[int, int]]:
    """(used with this pod, capacity) of CPU and memory; pods without requests count with the defaults."""
    return [
        (node.cpu_nonzero_milli + cycle.info.cpu_nonzero_milli, node.allocatable.get("cpu", 0)),
        (node.memory_nonzero_bytes + cycle.info.memory_nonzero_bytes, node.allocatable.get("memory", 0)),
    ]
