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
)
from ..api.selectors import go_selector
from ..base.clock import parse_timestamp
from . import pods as podlib
from .autoscaler import DEFINITIONS, NO_SCALE, SCALED, scale_of
from .common import matches, same, scaled_value, set_condition, with_status
from .plan import NOTHING, Action, Controller, Event, Plan, Source, Update, View, own
from .resources import resource_of_reference

_RESOURCE = "poddisruptionbudgets.policy"
_DISRUPTION_MAX_S = 120.0  # an eviction that did not come true by then is forgotten


class DisruptionController(Controller):
    name = "disruption"
    component = "controllermanager"
    account = "disruption-controller"
    extra_resources = (DEFINITIONS, *SCALED)

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
        try:
            expected, desired, unmanaged = _counts(budget, pods, view)
        except _Uncountable as error:
            message = f"Failed to calculate the number of expected pods: {error}"
            actions.append(Event(budget, "Warning", "CalculateExpectedPodCountFailed", message))
            return Plan([*actions, *_status_update(budget, _failed(budget, str(error), now))])
        if unmanaged:
            actions.append(
                Event(budget, "Warning", "UnmanagedPods", _UNMANAGED.format(go_selector(selector)))
            )
        disrupted, recheck_s = _disrupted(budget, pods, now, actions)
        healthy = sum(
            1 for p in pods if podlib.is_ready(p) and not is_deleting(p) and name_of(p) not in disrupted
        )
        allowed = max(0, healthy - desired) if expected > 0 else 0
        status = _status(budget, healthy, desired, expected, allowed, disrupted, now)
        return Plan([*actions, *_status_update(budget, status)], recheck_s)


def _status_update(budget: Object, status: Object) -> list[Action]:
    unchanged = same(status, budget.get("status") or {})
    return [] if unchanged else [Update(_RESOURCE, with_status(budget, status), "status")]


def _of_pod(old: Object | None, new: Object | None, view: View) -> list[str]:
    namespace = namespace_of(new or old or {})
    labels = [labels_of(p) for p in (old, new) if p is not None]
    return [
        f"{namespace}/{name_of(budget)}"
        for budget in view.of(_RESOURCE).list(namespace)
        if any(matches(get(budget, "spec.selector"), found) for found in labels)
    ]


class _Uncountable(Exception):
    """A pod's controller does not say how many it wants."""


def _counts(budget: Object, pods: list[Object], view: View) -> tuple[int, int, bool]:
    """(expected pods, how many must be healthy, whether there are pods without a controller)."""
    spec = budget["spec"]
    if spec.get("maxUnavailable") is not None:
        expected, unmanaged = _expected_scale(pods, view)
        lost = scaled_value(spec["maxUnavailable"], expected, round_up=True)
        return expected, max(0, expected - lost), unmanaged
    least = spec.get("minAvailable")
    if least is None:
        return 0, 0, False
    if isinstance(least, int):
        return len(pods), least, False
    expected, unmanaged = _expected_scale(pods, view)
    return expected, scaled_value(least, expected, round_up=True), unmanaged


def _expected_scale(pods: list[Object], view: View) -> tuple[int, bool]:
    """What the controllers of these pods want, each counted once."""
    scales: dict[str, int] = {}
    for pod in pods:
        if controller_of(pod) is not None:
            scales.update([_scale_of(pod, view)])
    return sum(scales.values()), any(controller_of(pod) is None for pod in pods)


def _scale_of(pod: Object, view: View) -> tuple[str, int]:
    reference = controller_of(pod) or {}
    namespace, kind = namespace_of(pod), resource_of_reference(reference["apiVersion"], reference["kind"])
    if kind is not None and kind.resource == "replicasets.apps":
        replica_set = view.of(kind.resource).get(namespace, reference["name"])
        above = controller_of(replica_set) if replica_set is not None else None
        if above is not None and above["kind"] == "Deployment":
            reference = above
    replicas, resource, why_not = scale_of(namespace, reference, view)
    if replicas is None and why_not == NO_SCALE:
        raise _Uncountable(f"{resource} does not implement the scale subresource")
    if replicas is None:
        raise _Uncountable(f'found no controllers for pod "{name_of(pod)}"')
    return reference["uid"], replicas


_UNMANAGED = (
    "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, "
    "the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for "
    'these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
)


def _disrupted(
    budget: Object, pods: list[Object], now: float, actions: list[Action]
) -> tuple[dict[str, str], float | None]:
    """Evictions that were granted and have not come true yet; when the next of them expires."""
    alive = {name_of(p): p for p in pods}
    kept: dict[str, str] = {}
    recheck: list[float] = []
    for name, at in (get(budget, "status.disruptedPods") or {}).items():
        left_s = parse_timestamp(at) + _DISRUPTION_MAX_S - now
        if name not in alive or is_deleting(alive[name]):
            continue
        if left_s > 0:
            kept[name] = at
            recheck.append(left_s)
        else:
            where = f"{namespace_of(budget)}/{namespace_of(budget)}"  # twice, upstream
            message = f"Pod was expected by PDB {where} to be deleted but it wasn't"
            actions.append(Event(alive[name], "Warning", "NotDeleted", message))
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
    conditions = _conditions(budget, "True", "SufficientPods", "", generation, now)
    if not allowed:
        conditions = _conditions(budget, "False", "InsufficientPods", "", generation, now)
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


def _failed(budget: Object, message: str, now: float) -> Object:
    """Nothing may go while it cannot be counted."""
    status = budget.get("status") or {}
    conditions = _conditions(budget, "False", "SyncFailed", message, status.get("observedGeneration"), now)
    empty = {"currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}
    return {**empty, **status, "disruptionsAllowed": 0, "conditions": conditions}


def _conditions(
    budget: Object, status: str, reason: str, message: str, generation: int | None, now: float
) -> list[Object]:
    before = get(budget, "status.conditions", [])
    conditions = set_condition(
        before, "DisruptionAllowed", status, reason, message, now, compare=("status", "reason", "message")
    )
    of_generation = {"observedGeneration": generation} if generation else {}
    return [
        {**c, "message": message, **of_generation} if c["type"] == "DisruptionAllowed" else c
        for c in conditions
    ]
