"""NodeAffinity: nodeSelector, required and preferred node affinity."""

from __future__ import annotations

from ...api.node_selector import names_wanted, node_matches, term_matches
from ...api.object import get
from ..framework import Cycle, Plugin, Rejection, normalize_highest
from ..snapshot import NodeInfo

REASON = "node(s) didn't match Pod's node affinity/selector"
CONFLICT = "pod affinity terms conflict"
PREFERRED = "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution"
REQUIRED = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"


class NodeAffinity(Plugin):
    name = "NodeAffinity"
    local = True

    def pre_filter(self, cycle: Cycle) -> Rejection | None:
        """Where every term of the affinity names its nodes, only those are looked at (a DaemonSet's pods)."""
        spec = cycle.pod["spec"]
        if not spec.get("nodeSelector") and get(spec, REQUIRED) is None:
            cycle.skip(self)
            return None
        names = names_wanted(spec)
        if names is not None and not names:
            return Rejection(self.name, (CONFLICT,), resolvable=False)
        if names is not None:
            cycle.candidates = names if cycle.candidates is None else cycle.candidates & names
            cycle.narrowed_by.add(self.name)
        return None

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        if node_matches(cycle.pod["spec"], node.name, node.labels):
            return None
        return Rejection(self.name, (REASON,), resolvable=False)

    def pre_score(self, cycle: Cycle, nodes: list[NodeInfo]) -> bool:
        return bool(get(cycle.pod["spec"], PREFERRED))

    def score(self, cycle: Cycle, node: NodeInfo) -> float:
        return float(
            sum(
                term["weight"]
                for term in get(cycle.pod["spec"], PREFERRED, [])
                if term_matches(term["preference"], node.name, node.labels)
            )
        )

    def normalize(self, cycle: Cycle, scores: list[float]) -> list[float]:
        return normalize_highest(scores)
