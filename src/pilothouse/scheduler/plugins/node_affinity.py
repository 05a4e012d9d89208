"""NodeAffinity: nodeSelector, required and preferred node affinity."""

from __future__ import annotations

from ...api.node_selector import names_wanted, node_matches, term_matches
from ..framework import Cycle, Rejection, normalize_highest
from ..snapshot import NodeInfo

REASON = "node(s) didn't match Pod's node affinity/selector"


class NodeAffinity:
    name = "NodeAffinity"

    def pre_filter(self, cycle: Cycle) -> Rejection | None:
        """Where every term of the affinity names its nodes, only those are looked at (a DaemonSet's pods)."""
        names = names_wanted(cycle.pod["spec"])
        if names is not None:
            cycle.candidates = names if cycle.candidates is None else cycle.candidates & names
            cycle.narrowed_by.add(self.name)
        return None

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        if node_matches(cycle.pod["spec"], node.name, node.labels):
            return None
        return Rejection(self.name, (REASON,), resolvable=False)

    def pre_score(self, cycle: Cycle, nodes: list[NodeInfo]) -> bool:
        affinity = (cycle.pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
        cycle.state[self.name] = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        return bool(cycle.state[self.name])

    def score(self, cycle: Cycle, node: NodeInfo) -> float:
        return float(
            sum(
                term["weight"]
                for term in cycle.state[self.name]
                if term_matches(term["preference"], node.name, node.labels)
            )
        )

    def normalize(self, cycle: Cycle, scores: dict[str, float]) -> None:
        normalize_highest(scores)
