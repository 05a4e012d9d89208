"""PodTopologySpread: pods of one kind evenly over zones and nodes; without constraints of its own, a pod of a
Service or a workload is spread by default (maxSkew 3 over hosts, 5 over zones, only as a preference).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from operator import add

from ...api.node_selector import node_matches
from ...api.object import Object, is_deleting, labels_of, namespace_of
from ...api.selectors import from_object, nothing, to_string
from ...api.tolerations import tolerates
from ..framework import SCORE_MAX, Cycle, Plugin, Rejection
from ..snapshot import NodeInfo

REASON = "node(s) didn't match pod topology spread constraints"
MISSING_LABEL = "node(s) didn't match pod topology spread constraints (missing required label)"
HOSTNAME = "kubernetes.io/hostname"
DEFAULTS = ((HOSTNAME, 3), ("topology.kubernetes.io/zone", 5))
Matcher = Callable[[dict[str, str]], bool]


@dataclass(slots=True)
class Constraint:
    key: str
    max_skew: int
    matches: Matcher
    selector: str  # as text: stands for `matches`
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
                from_object(selector) if selector is not None else nothing,
                to_string(selector) if selector is not None else "!",
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


def _predicate(cycle: Cycle, constraint: Constraint) -> tuple[Hashable, Callable[[Object], bool]]:
    """Which pods the constraint speaks of, and what stands for that."""
    namespace, matches = namespace_of(cycle.pod), constraint.matches
    return (
        "spread",
        namespace,
        constraint.selector,
    ), lambda pod: namespace_of(pod) == namespace and not is_deleting(pod) and matches(labels_of(pod))


def _by_node(cycle: Cycle, constraint: Constraint) -> dict[str, int]:
    return cycle.snapshot.counts(*_predicate(cycle, constraint))


def _count(cycle: Cycle, constraint: Constraint, eligible: Callable[[NodeInfo], bool]) -> None:
    """By domain. A domain without pods counts 0, if a node of it is eligible."""
    by_node, counts, key = _by_node(cycle, constraint), constraint.counts, constraint.key
    for node in cycle.snapshot.nodes.values():
        if eligible(node):
            value = node.labels[key]
            counts[value] = counts.get(value, 0) + by_node.get(node.name, 0)


class PodTopologySpread(Plugin):
    name = "PodTopologySpread"

    def pre_filter(self, cycle: Cycle) -> Rejection | None:
        hard = constraints(cycle.pod, "DoNotSchedule")
        if not hard:
            cycle.skip(self)
            return None
        for constraint in hard:
            _count(cycle, constraint, lambda node, one=constraint: _eligible(cycle, node, hard, one))  # type: ignore[misc]
        itself = [constraint.matches(labels_of(cycle.pod)) for constraint in hard]
        lowest = [min(c.counts.values(), default=0) if len(c.counts) >= c.min_domains else 0 for c in hard]
        cycle.state[self.name] = list(zip(hard, itself, lowest, strict=True))
        return None

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        for constraint, itself, lowest in cycle.state[self.name]:
            value = node.labels.get(constraint.key)
            if value is None:
                return Rejection(self.name, (MISSING_LABEL,), resolvable=False)
            if constraint.counts.get(value, 0) + itself - lowest > constraint.max_skew:
                return Rejection(self.name, (REASON,))
        return None

    def pre_score(self, cycle: Cycle, nodes: list[NodeInfo]) -> bool:
        """State: how the constraints count, [(label, the nodes' values of it if known, whether its domains are nodes, counts, weight, skew)]."""
        soft, by_default = constraints(cycle.pod, "ScheduleAnyway"), False
        if not cycle.pod["spec"].get("topologySpreadConstraints"):
            soft, by_default = _default_constraints(cycle), True
        if not soft:
            return False
        prepared = []
        if not by_default:  # a node that lacks a label does not count
            nodes = [node for node in nodes if all(constraint.key in node.labels for constraint in soft)]
        for constraint in soft:
            key, values = constraint.key, None
            if key == HOSTNAME:  # its domains are single nodes
                domains, counts = len(nodes), _by_node(cycle, constraint)
            else:
                values = [node.labels.get(key) for node in nodes]
                domains = len(set(values) - {None})
                if by_default:
                    counts = cycle.snapshot.counts_by(key, *_predicate(cycle, constraint))
                else:
                    _count(cycle, constraint, lambda node, one=constraint: _eligible(cycle, node, soft, one))  # type: ignore[misc]
                    counts = constraint.counts
            if domains or not by_default:
                weight, skew = math.log(domains + 2), constraint.max_skew - 1
                prepared.append((key, values if by_default else None, key == HOSTNAME, counts, weight, skew))
        cycle.state["PodTopologySpread.score"] = prepared, by_default
        return True

    def scores(self, cycle: Cycle, nodes: list[NodeInfo]) -> list[float]:
        """The lower the better; -1 for a node that lacks a label and so does not count."""
        prepared, by_default = cycle.state["PodTopologySpread.score"]
        total = [0.0] * len(nodes)
        for key, values, per_node, counts, weight, skew in prepared:
            get = counts.get
            if values is None or len(values) != len(nodes):  # others than were prepared for
                values = [node.labels.get(key) for node in nodes]
            domains = [node.name for node in nodes] if per_node else values
            column = [get(domain, 0) * weight + skew for domain in domains]
            if None in values:
                lacking = 0.0 if by_default else -math.inf
                column = [
                    lacking if value is None else each for value, each in zip(values, column, strict=True)
                ]
            total = column if len(prepared) == 1 else list(map(add, total, column))
        return [float(int(sum_ + 0.5)) if sum_ >= 0 else -1.0 for sum_ in total]

    def score(self, cycle: Cycle, node: NodeInfo) -> float:
        return self.scores(cycle, [node])[0]

    def normalize(self, cycle: Cycle, scores: list[float]) -> list[float]:
        known = [score for score in scores if score >= 0] if min(scores) < 0 else scores
        low, high = min(known, default=0.0), max(known, default=0.0)
        if high == 0:
            return [SCORE_MAX if score >= 0 else 0.0 for score in scores]
        sum_ = high + low
        return [SCORE_MAX * (sum_ - score) // high if score >= 0 else 0.0 for score in scores]


def _default_constraints(cycle: Cycle) -> list[Constraint]:
    """Of the Services and the controller that the pod belongs to (`helper.DefaultSelector`)."""
    selectors = cycle.view.selectors_for(cycle.pod) if cycle.view is not None else []
    if not selectors:
        return []
    matchers = [from_object(selector) for selector in selectors]
    text = " & ".join(to_string(selector) for selector in selectors)
    matches: Matcher = matchers[0] if len(matchers) == 1 else lambda labels: all(m(labels) for m in matchers)
    return [Constraint(key, skew, matches, text) for key, skew in DEFAULTS]
