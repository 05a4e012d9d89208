"""DefaultPreemption: whether removing pods of lower priority would make room, and which cost the least.

A node whose rejection removing pods cannot cure is not looked at. Of a node's pods of lower priority all are
removed in thought; if the pod fits then, as many as possible are put back, those that a PodDisruptionBudget
guards first. Of the nodes, the one whose victims are cheapest wins (`pickOneNodeForPreemption`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from ...api.object import is_deleting, labels_of, namespace_of
from ...api.selectors import from_object
from ..framework import Cycle, PostFilterResult, Rejection
from ..snapshot import NodeInfo, PodInfo, Snapshot

NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
PREFIX = "no new claims to deallocate, preemption: "
NEVER = "not eligible due to preemptionPolicy=Never."
TERMINATING = "not eligible due to a terminating pod on the nominated node."


@dataclass(frozen=True, slots=True)
class Candidate:
    node: str
    victims: tuple[PodInfo, ...]
    violations: int

    def cost(self) -> tuple[Any, ...]:
        """Fewer broken budgets, then lower priorities, then a smaller sum of them, then fewer pods."""
        priorities = [victim.priority for victim in self.victims]
        start = [(victim.pod.get("status") or {}).get("startTime") or "" for victim in self.victims]
        latest = max((s for s, p in zip(start, priorities, strict=True) if p == max(priorities)), default="")
        return (
            self.violations,
            max(priorities),
            sum(p + 2**31 for p in priorities),
            len(priorities),
            _descending(latest),
        )


def _descending(text: str) -> tuple[int, ...]:
    """A pod that started later is the cheaper victim."""
    return tuple(-ord(char) for char in text)


class DefaultPreemption:
    name = "DefaultPreemption"

    def post_filter(self, cycle: Cycle, rejections: dict[str, Rejection], framework: Any) -> PostFilterResult:
        spec = cycle.pod["spec"]
        if spec.get("preemptionPolicy") == "Never":
            return PostFilterResult(PREFIX + NEVER)
        nominated = (cycle.pod.get("status") or {}).get("nominatedNodeName")
        if nominated in cycle.snapshot.nodes:
            for info in cycle.snapshot.nodes[nominated].pods.values():
                if info.priority < cycle.info.priority and is_deleting(info.pod):
                    return PostFilterResult(PREFIX + TERMINATING, node=nominated)
        reasons: Counter[str] = Counter()
        candidates = []
        for name, rejection in rejections.items():
            if not rejection.resolvable:
                reasons[NOT_HELPFUL] += 1
            elif candidate := self._candidate(cycle, cycle.snapshot.nodes[name], framework):
                candidates.append(candidate)
            else:
                reasons[NO_VICTIMS] += 1
        if candidates:
            best = min(candidates, key=lambda candidate: (*candidate.cost(), candidate.node))
            return PostFilterResult("", best.node, tuple(victim.pod for victim in best.victims))
        lines = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
        return PostFilterResult(f"{PREFIX}0/{len(cycle.snapshot.nodes)} nodes are available: {lines}.")

    def _candidate(self, cycle: Cycle, node: NodeInfo, framework: Any) -> Candidate | None:
        lower = [info for info in node.pods.values() if info.priority < cycle.info.priority]
        if not lower or not self._fits(cycle, node, {info.key for info in lower}, framework):
            return None
        guarded = _guarded(lower, cycle)
        # the most important first, so that they are the first to be spared
        order = sorted(
            lower,
            key=lambda i: (
                i.key not in guarded,
                -i.priority,
                (i.pod.get("status") or {}).get("startTime") or "",
            ),
        )
        victims = {info.key for info in lower}
        for info in order:
            if self._fits(cycle, node, victims - {info.key}, framework):
                victims.discard(info.key)
        chosen = tuple(info for info in sorted(order, key=lambda i: -i.priority) if info.key in victims)
        return Candidate(node.name, chosen, sum(info.key in guarded for info in chosen)) if chosen else None

    def _fits(self, cycle: Cycle, node: NodeInfo, gone: set[str], framework: Any) -> bool:
        snapshot = Snapshot()
        snapshot.nodes = {**cycle.snapshot.nodes, node.name: node.without(gone)}
        snapshot.namespaces = cycle.snapshot.namespaces
        trial = replace(cycle, snapshot=snapshot, state={}, candidates=None, narrowed_by=set())
        return (
            framework.pre_filter(trial) is None and framework.filter(trial, snapshot.nodes[node.name]) is None
        )


def _guarded(pods: list[PodInfo], cycle: Cycle) -> set[str]:
    """Uids of pods whose eviction would break a budget."""
    guarded: set[str] = set()
    for budget in cycle.view.budgets() if cycle.view is not None else ():
        allowed = (budget.get("status") or {}).get("disruptionsAllowed") or 0
        disrupted = (budget.get("status") or {}).get("disruptedPods") or {}
        selector = budget["spec"].get("selector")
        if selector is None:
            continue
        matches = from_object(selector)
        for info in sorted(pods, key=lambda info: -info.priority):
            if namespace_of(info.pod) != namespace_of(budget) or not matches(labels_of(info.pod)):
                continue
            if info.pod["metadata"]["name"] in disrupted:
                continue
            allowed -= 1
            if allowed < 0:
                guarded.add(info.key)
    return guarded
