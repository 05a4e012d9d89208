"""InterPodAffinity: near to these pods, far from those, counted by topology domain (the value of a node's label).

All counts are made once a cycle in PreFilter: `(topology key, value) -> number of matching pods`, so that the
filter of a node is a few look-ups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from ...api.object import Object, labels_of, namespace_of
from ...api.selectors import from_object
from ..framework import SCORE_MAX, Cycle, Rejection
from ..snapshot import NodeInfo, Snapshot

AFFINITY = "node(s) didn't match pod affinity rules"
ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
EXISTING_ANTI_AFFINITY = "node(s) didn't satisfy existing pods anti-affinity rules"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
HARD_POD_AFFINITY_WEIGHT = 1

Domain = tuple[str, str]


def terms(pod: Object, which: str, strength: str) -> list[Object]:
    return list(((pod["spec"].get("affinity") or {}).get(which) or {}).get(strength) or ())


def matcher(term: Object, owner: Object, snapshot: Snapshot) -> Callable[[Object], bool]:
    """Whether a pod is one that `owner`'s term speaks of."""
    namespaces = set(term.get("namespaces") or ())
    by_label = term.get("namespaceSelector")
    if not namespaces and by_label is None:
        namespaces = {namespace_of(owner)}
    namespace_matches = from_object(by_label) if by_label is not None else None
    # A nil selector selects nothing (apimachinery's LabelSelectorAsSelector)
    labels_match = from_object(term["labelSelector"]) if term.get("labelSelector") is not None else None

    def matches(pod: Object) -> bool:
        if labels_match is None or not labels_match(labels_of(pod)):
            return False
        if namespace_of(pod) in namespaces:
            return True
        return namespace_matches is not None and namespace_matches(snapshot.namespace_labels(pod))

    return matches


class InterPodAffinity:
    name = "InterPodAffinity"

    def pre_filter(self, cycle: Cycle) -> Rejection | None:
        pod, snapshot = cycle.pod, cycle.snapshot
        near = [(t["topologyKey"], matcher(t, pod, snapshot)) for t in terms(pod, "podAffinity", REQUIRED)]
        far = [(t["topologyKey"], matcher(t, pod, snapshot)) for t in terms(pod, "podAntiAffinity", REQUIRED)]
        near_counts: dict[Domain, int] = defaultdict(int)
        far_counts: dict[Domain, int] = defaultdict(int)
        existing: dict[Domain, int] = defaultdict(int)
        for info, node in snapshot.pods():
            # a pod counts for affinity only if it matches all the terms at once
            if near and all(match(info.pod) for _, match in near):
                for key, _ in near:
                    if key in node.labels:
                        near_counts[key, node.labels[key]] += 1
            for key, match in far:
                if key in node.labels and match(info.pod):
                    far_counts[key, node.labels[key]] += 1
            if info.pod["spec"].get("affinity"):
                for term in terms(info.pod, "podAntiAffinity", REQUIRED):
                    key = term["topologyKey"]
                    if key in node.labels and matcher(term, info.pod, snapshot)(pod):
                        existing[key, node.labels[key]] += 1
        cycle.state[self.name] = (near, near_counts, far, far_counts, existing)
        return None

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        near, near_counts, far, far_counts, existing = cycle.state[self.name]
        if near and not self._near(cycle, node, near, near_counts):
            return Rejection(self.name, (AFFINITY,), resolvable=False)
        if far and any(
            far_counts.get((key, node.labels.get(key, "")), 0) for key, _ in far if key in node.labels
        ):
            return Rejection(self.name, (ANTI_AFFINITY,))
        if existing and any(existing.get((key, value), 0) for key, value in node.labels.items()):
            return Rejection(self.name, (EXISTING_ANTI_AFFINITY,))
        return None

    def _near(self, cycle: Cycle, node: NodeInfo, near: list[Any], counts: dict[Domain, int]) -> bool:
        if any(key not in node.labels for key, _ in near):
            return False
        if all(counts.get((key, node.labels[key]), 0) for key, _ in near):
            return True
        # the first pod of a group that is affine to itself may go anywhere
        return not counts and all(match(cycle.pod) for _, match in near)

    def pre_score(self, cycle: Cycle, nodes: list[NodeInfo]) -> bool:
        pod, snapshot = cycle.pod, cycle.snapshot
        own: list[tuple[str, int, Callable[[Object], bool]]] = []
        for which, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
            for preferred in terms(pod, which, PREFERRED):
                term = preferred["podAffinityTerm"]
                own.append((term["topologyKey"], sign * preferred["weight"], matcher(term, pod, snapshot)))
        scores: dict[Domain, int] = defaultdict(int)
        for info, node in snapshot.pods():
            for key, weight, match in own:
                if key in node.labels and match(info.pod):
                    scores[key, node.labels[key]] += weight
            for key, weight, term in _attractions(info.pod):
                if key in node.labels and matcher(term, info.pod, snapshot)(pod):
                    scores[key, node.labels[key]] += weight
        cycle.state["InterPodAffinity.score"] = scores
        return bool(scores)

    def score(self, cycle: Cycle, node: NodeInfo) -> float:
        scores = cycle.state["InterPodAffinity.score"]
        return float(sum(scores.get((key, value), 0) for key, value in node.labels.items()))

    def normalize(self, cycle: Cycle, scores: dict[str, float]) -> None:
        low, high = min(scores.values()), max(scores.values())
        for name, score in scores.items():
            scores[name] = float(int(SCORE_MAX * (score - low) / (high - low))) if high > low else 0.0


def _attractions(pod: Object) -> Iterable[tuple[str, int, Object]]:
    """What pods that are already there wish of a newcomer: (topology key, weight, term)."""
    if not pod["spec"].get("affinity"):
        return
    for term in terms(pod, "podAffinity", REQUIRED):
        yield term["topologyKey"], HARD_POD_AFFINITY_WEIGHT, term
    for which, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
        for preferred in terms(pod, which, PREFERRED):
            term = preferred["podAffinityTerm"]
            yield term["topologyKey"], sign * preferred["weight"], term
