"""PodTopologySpread: pods of one kind evenly over zones and nodes; without constraints of its own, a pod of a
Service or a workload is spread by default (maxSkew 3 over hosts, 5 over zones, only as a preference).
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from ...api.node_selector import node_matches
from ...api.object import Object, controller_of, is_deleting, labels_of, namespace_of
from ...api.selectors import from_object
from ...api.tolerations import tolerates
from ..framework import SCORE_MAX, Cycle, Rejection
from ..snapshot import NodeInfo

REASON = "node(s) didn't match pod topology spread constraints"
MISSING_LABEL = "node(s) didn't match pod topology spread constraints (missing required label)"
HOSTNAME = "kubernetes.io/hostname"
DEFAULTS = ((HOSTNAME, 3), ("topology.kubernetes.io/zone", 5))


@dataclass(slots=True)
class Constraint:
    key: str
    max_skew: int
    matches: Any
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False
    counts: dict[str, int] = field(default_factory=dict)  # by value of the topology label


def constraints(pod: Object, when: str) -> list[Constraint]:
    own = labels_of(pod)
    found = []
    for spec in pod["spec"].get("topologySpreadConstraints") or ():
        if spec["whenUnsatisfiable"] != when:
            continue
        selector = spec.get("labelSelector")
        if selector is not None and spec.get("matchLabelKeys"):
            extra = [
                {"key": key, "operator": "In", "values": [own[key]]}
                for key in spec["matchLabelKeys"]
                if key in own
            ]
            selector = {**selector, "matchExpressions": [*(selector.get("matchExpressions") or ()), *extra]}
        found.append(
            Constraint(
                spec["topologyKey"],
                spec["maxSkew"],
                from_object(selector) if selector is not None else lambda labels: False,
                spec.get("minDomains") or 1,
                spec.get("nodeAffinityPolicy", "Honor") == "Honor",
                spec.get("nodeTaintsPolicy", "Ignore") == "Honor",
            )
        )
    return found


def _eligible(cycle: Cycle, node: NodeInfo, all_of: list[Constraint], one: Constraint) -> bool:
    """Whether a node counts for a constraint: it has all the labels, and the policies let it in."""
    if any(constraint.key not in node.labels for constraint in all_of):
        return False
    if one.honor_affinity and not node_matches(cycle.pod["spec"], node.name, node.labels):
        return False
    if one.honor_taints:
        tolerations = cycle.pod["spec"].get("tolerations") or ()
        return all(
            tolerates(tolerations, taint)
            for taint in node.taints
            if taint.get("effect") in ("NoSchedule", "NoExecute")
        )
    return True


def _count(cycle: Cycle, node: NodeInfo, constraint: Constraint) -> int:
    namespace = namespace_of(cycle.pod)
    return sum(
        namespace_of(info.pod) == namespace
        and not is_deleting(info.pod)
        and constraint.matches(labels_of(info.pod))
        for info in node.pods.values()
    )


class PodTopologySpread:
    name = "PodTopologySpread"

    def pre_filter(self, cycle: Cycle) -> Rejection | None:
        hard = constraints(cycle.pod, "DoNotSchedule")
        cycle.state[self.name] = hard
        for constraint in hard:
            counts: dict[str, int] = defaultdict(int)
            for node in cycle.snapshot.nodes.values():
                if _eligible(cycle, node, hard, constraint):
                    counts[node.labels[constraint.key]] += _count(cycle, node, constraint)
            constraint.counts = counts
        return None

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        for constraint in cycle.state[self.name]:
            value = node.labels.get(constraint.key)
            if value is None:
                return Rejection(self.name, (MISSING_LABEL,), resolvable=False)
            lowest = min(constraint.counts.values(), default=0)
            if len(constraint.counts) < constraint.min_domains:
                lowest = 0
            itself = 1 if constraint.matches(labels_of(cycle.pod)) else 0
            if constraint.counts.get(value, 0) + itself - lowest > constraint.max_skew:
                return Rejection(self.name, (REASON,))
        return None

    def pre_score(self, cycle: Cycle, nodes: list[NodeInfo]) -> bool:
        soft = constraints(cycle.pod, "ScheduleAnyway")
        by_default = False
        if not cycle.pod["spec"].get("topologySpreadConstraints"):
            soft, by_default = _default_constraints(cycle), True
        if not soft:
            return False
        for constraint in soft:
            counts: dict[str, int] = defaultdict(int)
            for node in cycle.snapshot.nodes.values():
                if constraint.key in node.labels and (by_default or _eligible(cycle, node, soft, constraint)):
                    counts[node.labels[constraint.key]] += _count(cycle, node, constraint)
            constraint.counts = counts
        cycle.state["PodTopologySpread.score"] = soft, nodes, by_default
        return True

    def score(self, cycle: Cycle, node: NodeInfo) -> float:
        soft, nodes, by_default = cycle.state["PodTopologySpread.score"]
        total = 0.0
        for constraint in soft:
            value = node.labels.get(constraint.key)
            if value is None:
                if by_default:
                    continue
                return -1.0
            size = len({other.labels.get(constraint.key) for other in nodes} - {None})
            total += constraint.counts.get(value, 0) * math.log(size + 2) + constraint.max_skew - 1
        return float(round(total))

    def normalize(self, cycle: Cycle, scores: dict[str, float]) -> None:
        known = [score for score in scores.values() if score >= 0]
        low, high = min(known, default=0.0), max(known, default=0.0)
        for name, score in scores.items():
            if score < 0:
                scores[name] = 0.0
            else:
                scores[name] = SCORE_MAX if high == 0 else float(int(SCORE_MAX * (high + low - score) / high))


def _default_constraints(cycle: Cycle) -> list[Constraint]:
    """Of the Services and the controller that the pod belongs to (`helper.DefaultSelector`)."""
    own = labels_of(cycle.pod)
    selectors = (
        cycle.view.selectors_for(cycle.pod)
        if cycle.view is not None and (own or controller_of(cycle.pod))
        else []
    )
    if not selectors:
        return []
    matchers = [from_object(selector) for selector in selectors]
    return [Constraint(key, skew, lambda labels: all(m(labels) for m in matchers)) for key, skew in DEFAULTS]
