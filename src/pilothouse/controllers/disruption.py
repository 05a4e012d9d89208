"""PodDisruptionBudget: how many of the pods it selects may be disrupted now.

The eviction subresource reads what is written here.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..api.object import (
    Object,
    controller_of,
    get,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from ..base.clock import parse_timestamp
from . import pods as podlib
from .common import find_condition, matches, same, scaled_value, set_condition, with_status
from .plan import NOTHING, Action, Controller, Event, Plan, Source, Update, View, own
from .resources import resource_of_reference

_RESOURCE = "poddisruptionbudgets.policy"
_DISRUPTION_MAX_S = 120.0  # an eviction that did not come true by then is forgotten
_SCALES = ("replicationcontrollers", "replicasets.apps", "deployments.apps", "statefulsets.apps")


class DisruptionController(Controller):
    name = "disruption"
    component = "controllermanager"
    account = "disruption-controller"
    extra_resources = _SCALES

    @property
    def sources(self) -> Mapping[str, Source]:
        return {_RESOURCE: own, "pods": _of_pod}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        namespace, _ = split_key(key)
        budget = view.of(_RESOURCE).get(*split_key(key))
        if budget is None or is_deleting(budget):
            return NOTHING
        selector = get(budget, "spec.selector")
        pods = view.of("pods").list(namespace, lambda pod: matches(selector, labels_of(pod)))
        actions: list[Action] = []
        if not pods:
            actions.append(Event(budget, "Normal", "NoPods", "No matching pods found"))
        expected, desired, unmanaged = _counts(budget, pods, view)
        if unmanaged:
            actions.append(Event(budget, "Warning", "UnmanagedPods", _unmanaged_message(selector, unmanaged)))
        disrupted, recheck_s = _disrupted(budget, pods, now)
        healthy = sum(
            1 for p in pods if podlib.is_ready(p) and not is_deleting(p) and name_of(p) not in disrupted
        )
        allowed = max(0, healthy - desired) if expected > 0 else 0
        status = _status(budget, healthy, desired, expected, allowed, disrupted, now)
        if same(status, budget.get("status") or {}):
            return Plan([], recheck_s)
        return Plan([*actions, Update(_RESOURCE, with_status(budget, status), "status")], recheck_s)


def _of_pod(old: Object | None, new: Object | None, view: View) -> list[str]:
    namespace = namespace_of(new or old or {})
    labels = [labels_of(p) for p in (old, new) if p is not None]
    return [
        f"{namespace}/{name_of(budget)}"
        for budget in view.of(_RESOURCE).list(namespace)
        if any(matches(get(budget, "spec.selector"), found) for found in labels)
    ]


def _counts(budget: Object, pods: list[Object], view: View) -> tuple[int, int, list[str]]:
    """(expected pods, how many must be healthy, names of pods without a scale)."""
    spec = budget["spec"]
    if spec.get("maxUnavailable") is not None:
        expected, unmanaged = _expected_scale(pods, view)
        lost = scaled_value(spec["maxUnavailable"], expected, round_up=True)
        return expected, max(0, expected - lost), unmanaged
    least = spec.get("minAvailable", 1)
    if isinstance(least, int):
        return len(pods), least, []
    expected, unmanaged = _expected_scale(pods, view)
    return expected, scaled_value(least, expected, round_up=True), unmanaged


def _expected_scale(pods: list[Object], view: View) -> tuple[int, list[str]]:
    """What the controllers of these pods want, each counted once."""
    scales: dict[str, int] = {}
    unmanaged = []
    for pod in pods:
        found = _scale_of(pod, view)
        if found is None:
            unmanaged.append(f"{namespace_of(pod)}/{name_of(pod)}")
        else:
            scales[found[0]] = found[1]
    return sum(scales.values()), unmanaged


def _scale_of(obj: Object, view: View) -> tuple[str, int] | None:
    reference = controller_of(obj)
    kind = resource_of_reference(reference["apiVersion"], reference["kind"]) if reference else None
    if reference is None or kind is None or kind.resource not in _SCALES:
        return None
    owner = view.of(kind.resource).get(namespace_of(obj), reference["name"])
    if owner is None or uid_of(owner) != reference["uid"]:
        return None
    if kind.resource == "replicasets.apps" and (above := _scale_of(owner, view)) is not None:
        return above
    return uid_of(owner), int(get(owner, "spec.replicas", 1))


def _unmanaged_message(selector: Object | None, unmanaged: list[str]) -> str:
    return (
        f"Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, "
        "the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for "
        'these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
    )


def _disrupted(budget: Object, pods: list[Object], now: float) -> tuple[dict[str, str], float | None]:
    """Evictions that were granted and have not come true yet; when the next of them expires."""
    alive = {name_of(p): p for p in pods}
    kept: dict[str, str] = {}
    recheck: list[float] = []
    for name, at in (get(budget, "status.disruptedPods") or {}).items():
        left_s = parse_timestamp(at) + _DISRUPTION_MAX_S - now
        if name in alive and not is_deleting(alive[name]) and left_s > 0:
            kept[name] = at
            recheck.append(left_s)
    return kept, min(recheck, default=None)


def _status(
    budget: Object,
    healthy: int,
    desired: int,
    expected: int,
    allowed: int,
    disrupted: dict[str, str],
    now: float,
) -> Object:
    generation = get(budget, "metadata.generation", 0)
    conditions = list(get(budget, "status.conditions", []))
    before = find_condition(conditions, "DisruptionAllowed")
    flag, reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    if before is None or before["status"] != flag or before.get("reason") != reason:
        conditions = set_condition(conditions, "DisruptionAllowed", flag, reason, "", now)
    conditions = [
        {**c, "message": c.get("message", ""), "observedGeneration": generation}
        if c["type"] == "DisruptionAllowed"
        else c
        for c in conditions
    ]
    status: Object = {
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": allowed,
        "expectedPods": expected,
        "observedGeneration": generation,
        "conditions": conditions,
    }
    if disrupted:
        status["disruptedPods"] = disrupted
    return status
