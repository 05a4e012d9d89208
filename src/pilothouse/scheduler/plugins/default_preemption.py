"""DefaultPreemption: whether removing pods of lower priority would make room, and which cost the least.

A node whose rejection removing pods cannot cure is not looked at. Of a node's pods of lower priority all are
removed in thought; if the pod fits then, as many as possible are put back, those that a PodDisruptionBudget
guards first. Of the nodes, the one whose victims are cheapest wins (`pickOneNodeForPreemption`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ...api.object import Object, condition_of, get, is_deleting, labels_of, name_of, namespace_of
from ...api.selectors import from_object
from ..framework import Cycle, Framework, Plugin, PostFilterResult, Rejection
from ..snapshot import NodeInfo, PodInfo

NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
PREFIX = "no new claims to deallocate, preemption: "
NEVER = "not eligible due to preemptionPolicy=Never."
TERMINATING = "not eligible due to a terminating pod on the nominated node."
CANDIDATES_MIN, CANDIDATES_SHARE = 100, 10  # of many nodes, only so many (or one in ten) are compared
_NOT_STARTED = "9"  # later than any time


@dataclass(frozen=True, slots=True)
class Candidate:
    node: str
    victims: tuple[PodInfo, ...]  # the most important first
    violations: int

    def cost(self) -> tuple[Any, ...]:
        """Fewer broken budgets, then lower priorities, then a smaller sum of them, then fewer pods, then younger ones."""
        priorities = [victim.priority for victim in self.victims]
        oldest = min(_started(victim) for victim in self.victims if victim.priority == priorities[0])
        return (
            self.violations,
            priorities[0],
            sum(priority + 2**31 for priority in priorities),
            len(priorities),
            tuple(-ord(char) for char in oldest),  # where even the oldest is young
            self.node,
        )


def _started(info: PodInfo) -> str:
    return str(get(info.pod, "status.startTime", _NOT_STARTED))


def _by_importance(pods: Iterable[PodInfo]) -> list[PodInfo]:
    """`MoreImportantPod`: a higher priority, then an earlier start; of those that have not started, the latest come first."""

    def importance(item: tuple[int, PodInfo]) -> tuple[int, str, int]:
        place, info = item
        started = _started(info)
        return -info.priority, started, -place if started == _NOT_STARTED else place

    return [info for _, info in sorted(enumerate(pods), key=importance)]


class DefaultPreemption(Plugin):
    name = "DefaultPreemption"

    def post_filter(
        self, cycle: Cycle, rejections: dict[str, Rejection], framework: Framework
    ) -> PostFilterResult:
        nodes = cycle.snapshot.nodes
        if cycle.pod["spec"].get("preemptionPolicy") == "Never":
            return PostFilterResult(PREFIX + NEVER)
        nominated = get(cycle.pod, "status.nominatedNodeName", "")
        if nominated in nodes and (nominated not in rejections or rejections[nominated].resolvable):
            for info in nodes[nominated].pods.values():
                if info.priority < cycle.info.priority and _makes_room(info.pod):
                    return PostFilterResult(PREFIX + TERMINATING)
        reasons: Counter[str] = Counter()
        candidates: list[Candidate] = []
        enough = max(CANDIDATES_MIN, len(nodes) * CANDIDATES_SHARE // 100)
        for name, rejection in rejections.items():
            if not rejection.resolvable:
                reasons[NOT_HELPFUL] += 1
                continue
            found = _candidate(cycle, nodes[name], framework)
            if isinstance(found, Candidate):
                candidates.append(found)
                if len(candidates) >= enough:
                    break
            else:
                reasons.update(found)
        if candidates:
            best = min(candidates, key=Candidate.cost)
            return PostFilterResult("", best.node, tuple(victim.pod for victim in best.victims))
        lines = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
        return PostFilterResult(f"{PREFIX}0/{len(nodes)} nodes are available: {lines}.", "")


def _makes_room(pod: Object) -> bool:
    """Goes because it was preempted, not for any other reason."""
    condition = condition_of(pod, "DisruptionTarget") or {}
    is_preempted = condition.get("status") == "True" and condition.get("reason") == "PreemptionByScheduler"
    return is_deleting(pod) and is_preempted


def _candidate(cycle: Cycle, node: NodeInfo, framework: Framework) -> Candidate | tuple[str, ...]:
    """Else the reasons why preemption does not help there."""
    lower = _by_importance(info for info in node.pods.values() if info.priority < cycle.info.priority)
    victims = {info.key for info in lower}
    if not lower:
        return (NO_VICTIMS,)
    if rejection := _rejection(cycle, node, victims, framework):
        return rejection.reasons
    guarded = _guarded(lower, cycle)
    for info in sorted(lower, key=lambda info: info.key not in guarded):  # the guarded are spared first
        if _rejection(cycle, node, victims - {info.key}, framework) is None:
            victims.discard(info.key)
    chosen = tuple(info for info in lower if info.key in victims)
    if not chosen:
        return (f'expected at least one victim pod on node "{node.name}"',)
    return Candidate(node.name, chosen, sum(info.key in guarded for info in chosen))


def _rejection(cycle: Cycle, node: NodeInfo, gone: set[str], framework: Framework) -> Rejection | None:
    without = node.changed(without=gone)
    snapshot = cycle.snapshot.imagined(without)
    trial = replace(cycle, snapshot=snapshot, state={}, candidates=None, narrowed_by=set(), skipped=set())
    return framework.pre_filter(trial) or framework.filter(trial, without)


def _guarded(pods: list[PodInfo], cycle: Cycle) -> set[str]:
    """Uids of pods whose eviction would break a budget (`filterPodsWithPDBViolation`). `pods`: the most important first."""
    budgets: list[list[Any]] = []
    for budget in cycle.view.budgets() if cycle.view is not None else ():
        selector, status = budget["spec"].get("selector") or {}, budget.get("status") or {}
        if selector.get("matchLabels") or selector.get("matchExpressions"):
            allowed = status.get("disruptionsAllowed") or 0
            budgets.append(
                [namespace_of(budget), from_object(selector), allowed, status.get("disruptedPods") or {}]
            )
    guarded: set[str] = set()
    for info in pods:
        for budget in budgets:
            namespace, matches, _, disrupted = budget
            if namespace != namespace_of(info.pod) or not matches(labels_of(info.pod)):
                continue
            if name_of(info.pod) in disrupted:  # counted by the API server already
                continue
            budget[2] -= 1
            if budget[2] < 0:
                guarded.add(info.key)
    return guarded
