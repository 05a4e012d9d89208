"""InterPodAffinity: near to these pods, far from those, counted by topology domain (the value of a node's label).

All counts are made once a cycle: `(topology key, value) -> number of matching pods`, from the snapshot's counts by node, so that
neither the filter of a node nor a cycle looks at all pods there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import orjson

from ...api.object import Object, labels_of, namespace_of
from ...api.selectors import from_object
from ..framework import SCORE_MAX, Cycle, Plugin, Rejection
from ..snapshot import NodeInfo, Snapshot

AFFINITY = "node(s) didn't match pod affinity rules"
ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
EXISTING_ANTI_AFFINITY = "node(s) didn't satisfy existing pods anti-affinity rules"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
HARD_POD_AFFINITY_WEIGHT = 1

Domain = tuple[str, str]
Matches = Callable[[Object], bool]


def terms(pod: Object, which: str, strength: str) -> list[Object]:
    return list(((pod["spec"].get("affinity") or {}).get(which) or {}).get(strength) or ())


def preferences(pod: Object) -> list[tuple[str, int, Object]]:
    """What a pod would like: (topology key, weight, term); away from pods is a negative weight."""
    return [
        (
            preferred["podAffinityTerm"]["topologyKey"],
            sign * preferred["weight"],
            preferred["podAffinityTerm"],
        )
        for which, sign in (("podAffinity", 1), ("podAntiAffinity", -1))
        for preferred in terms(pod, which, PREFERRED)
    ]


def matcher(term: Object, owner: Object, snapshot: Snapshot) -> Matches:
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


def _counts(cycle: Cycle, of: list[Object]) -> dict[str, int]:
    """How many pods of each node match all these terms of the pod at once."""
    matchers = [matcher(term, cycle.pod, cycle.snapshot) for term in of]
    key: Hashable = ("affinity", namespace_of(cycle.pod), orjson.dumps(of))
    return cycle.snapshot.counts(key, lambda pod: all(match(pod) for match in matchers))


def _add(
    domains: dict[Domain, int], cycle: Cycle, key: str, by_node: dict[str, int], weight: int = 1
) -> None:
    nodes = cycle.snapshot.nodes
    for name, count in by_node.items():
        if count and name in nodes and (value := nodes[name].labels.get(key)) is not None:
            domains[key, value] += weight * count


class InterPodAffinity(Plugin):
    name = "InterPodAffinity"

    def pre_filter(self, cycle: Cycle) -> Rejection | None:
        pod, snapshot = cycle.pod, cycle.snapshot
        near, far = terms(pod, "podAffinity", REQUIRED), terms(pod, "podAntiAffinity", REQUIRED)
        near_counts: dict[Domain, int] = defaultdict(int)
        far_counts: dict[Domain, int] = defaultdict(int)
        existing: dict[Domain, int] = defaultdict(int)
        if near:  # a pod counts for affinity only if it matches all the terms at once
            by_node = _counts(cycle, near)
            for key in dict.fromkeys(term["topologyKey"] for term in near):
                _add(near_counts, cycle, key, by_node)
        for term in far:
            _add(far_counts, cycle, term["topologyKey"], _counts(cycle, [term]))
        for info, node in snapshot.affine_pods():
            for term in terms(info.pod, "podAntiAffinity", REQUIRED):
                key = term["topologyKey"]
                if key in node.labels and matcher(term, info.pod, snapshot)(pod):
                    existing[key, node.labels[key]] += 1
        if not near and not far and not existing:
            cycle.skip(self)
        first = bool(near) and not near_counts and all(matcher(t, pod, snapshot)(pod) for t in near)
        near_keys, far_keys = ([term["topologyKey"] for term in some] for some in (near, far))
        cycle.state[self.name] = (near_keys, near_counts, first, far_keys, far_counts, existing)
        return None

    def filter(self, cycle: Cycle, node: NodeInfo) -> Rejection | None:
        near, near_counts, first, far, far_counts, existing = cycle.state[self.name]
        labels = node.labels
        if near:
            has_all = all(key in labels for key in near)
            # the first pod of a group that is affine to itself may go anywhere
            if not has_all or not (first or all(near_counts.get((key, labels[key]), 0) for key in near)):
                return Rejection(self.name, (AFFINITY,), resolvable=False)
        if any(far_counts.get((key, labels[key]), 0) for key in far if key in labels):
            return Rejection(self.name, (ANTI_AFFINITY,))
        if existing and any(existing.get(domain, 0) for domain in labels.items()):
            return Rejection(self.name, (EXISTING_ANTI_AFFINITY,))
        return None

    def pre_score(self, cycle: Cycle, nodes: list[NodeInfo]) -> bool:
        pod, snapshot = cycle.pod, cycle.snapshot
        scores: dict[Domain, int] = defaultdict(int)
        for key, weight, term in preferences(pod):
            _add(scores, cycle, key, _counts(cycle, [term]), weight)
        for info, node in snapshot.affine_pods():
            for key, weight, term in _attractions(info.pod):
                if key in node.labels and matcher(term, info.pod, snapshot)(pod):
                    scores[key, node.labels[key]] += weight
        cycle.state["InterPodAffinity.score"] = scores
        return bool(scores)

    def score(self, cycle: Cycle, node: NodeInfo) -> float:
        scores: dict[Any, int] = cycle.state["InterPodAffinity.score"]
        return float(sum(scores.get(domain, 0) for domain in node.labels.items()))

    def normalize(self, cycle: Cycle, scores: list[float]) -> list[float]:
        low, high = min(scores), max(scores)
        if high == low:
            return [0.0] * len(scores)
        return [float(int(SCORE_MAX * (score - low) / (high - low))) for score in scores]


def _attractions(pod: Object) -> Iterable[tuple[str, int, Object]]:
    """What pods that are already there wish of a newcomer: (topology key, weight, term)."""
    for term in terms(pod, "podAffinity", REQUIRED):
        yield term["topologyKey"], HARD_POD_AFFINITY_WEIGHT, term
    yield from preferences(pod)
