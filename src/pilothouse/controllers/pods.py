"""What controllers need to know of pods: active, ready, available; and how one is made from a template. All pure."""

from __future__ import annotations

import math
from typing import Any

from ..api.object import (
    Object,
    annotations_of,
    condition_of,
    get,
    is_deleting,
    name_of,
    namespace_of,
    owner_reference,
)
from ..base.clock import parse_timestamp

_PHASE_ORDER = {"Pending": 0, "Unknown": 1, "Running": 2}


def phase(pod: Object) -> str:
    return str(get(pod, "status.phase", ""))


def is_terminal(pod: Object) -> bool:
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """`IsPodActive`: counts towards what a controller wants."""
    return not is_terminal(pod) and not is_deleting(pod)


def is_terminating(pod: Object) -> bool:
    """On its way out, but perhaps still using resources."""
    return not is_terminal(pod) and is_deleting(pod)


def is_ready(pod: Object) -> bool:
    condition = condition_of(pod, "Ready")
    return condition is not None and condition["status"] == "True"


def ready_since(pod: Object) -> float | None:
    condition = condition_of(pod, "Ready")
    if condition is None or condition["status"] != "True" or not condition.get("lastTransitionTime"):
        return None
    return parse_timestamp(condition["lastTransitionTime"])


def available_in_s(pod: Object, min_ready_s: int, now: float) -> float | None:
    """0 when available, how long until it will be when nothing changes, None when not ready."""
    if not is_ready(pod):
        return None
    if not min_ready_s:
        return 0.0
    since = ready_since(pod)
    return max(0.0, since + min_ready_s - now) if since is not None else None


def is_available(pod: Object, min_ready_s: int, now: float) -> bool:
    return available_in_s(pod, min_ready_s, now) == 0.0


def created_at(obj: Object) -> float:
    text = obj["metadata"].get("creationTimestamp")
    return parse_timestamp(text) if text else 0.0


def from_template(template: Object, owner: Object, api_version: str, kind: str) -> Object:
    """`GetPodFromTemplate`: a pod without a name, controlled by the owner."""
    metadata = template.get("metadata") or {}
    prefix = f"{name_of(owner)}-"
    made: dict[str, Any] = {
        "generateName": prefix if len(prefix) <= 253 else name_of(owner),
        "namespace": namespace_of(owner),
        "ownerReferences": [owner_reference(owner, api_version, kind)],
    }
    for part in ("labels", "annotations"):
        if metadata.get(part):
            made[part] = dict(metadata[part])
    if metadata.get("finalizers"):
        made["finalizers"] = list(metadata["finalizers"])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": dict(template.get("spec") or {})}


def deletion_order(pods: list[Object], ranks: dict[str, int] | None, now: float) -> list[Object]:
    """`ActivePodsWithRanks`: which go first. `ranks`: pod uid → how many of its kin share its node. Without them it is
    `ActivePods`, which knows no costs and compares ages exactly."""
    import functools

    def compare(a: Object, b: Object) -> int:
        for value_a, value_b in zip(_first_criteria(a, ranks), _first_criteria(b, ranks), strict=True):
            if value_a != value_b:
                return -1 if value_a < value_b else 1
        exact = ranks is None
        if is_ready(a) and is_ready(b):
            decided = _younger_first(ready_since(a) or 0.0, ready_since(b) or 0.0, a, b, now, exact)
            if decided:
                return decided
        restarts_a, restarts_b = _restarts(a), _restarts(b)
        if restarts_a != restarts_b:
            return -1 if restarts_a > restarts_b else 1
        return _younger_first(created_at(a), created_at(b), a, b, now, exact)

    return sorted(pods, key=functools.cmp_to_key(compare))


def _first_criteria(pod: Object, ranks: dict[str, int] | None) -> tuple[int, ...]:
    first = (
        1 if get(pod, "spec.nodeName") else 0,  # unassigned before assigned
        _PHASE_ORDER.get(phase(pod), 0),
        1 if is_ready(pod) else 0,
    )
    if ranks is None:
        return first
    try:
        cost = int(annotations_of(pod).get("controller.kubernetes.io/pod-deletion-cost", "0"))
    except ValueError:
        cost = 0
    return (*first, cost, -ranks.get(pod["metadata"].get("uid", ""), 0))  # doubled-up before alone


def _younger_first(at_a: float, at_b: float, a: Object, b: Object, now: float, exact: bool) -> int:
    """KEP-2185: ages are compared by their logarithm, and equal ones by uid, which is as good as at random."""
    if at_a == at_b:
        return 0
    bucket_a, bucket_b = (-at_a, -at_b) if exact else (_age_bucket(at_a, now), _age_bucket(at_b, now))
    if bucket_a == bucket_b:
        return -1 if a["metadata"].get("uid", "") < b["metadata"].get("uid", "") else 1
    return -1 if bucket_a < bucket_b else 1


def _age_bucket(at: float, now: float) -> int:
    age_ns = (now - at) * 1e9
    return int(math.log2(age_ns)) if age_ns > 0 else -1


def _restarts(pod: Object) -> tuple[int, int]:
    """The most of any container; then of any sidecar."""
    sidecars = {c["name"] for c in get(pod, "spec.initContainers", []) if c.get("restartPolicy") == "Always"}
    containers = get(pod, "status.containerStatuses", [])
    inits = [s for s in get(pod, "status.initContainerStatuses", []) if s["name"] in sidecars]
    return _most_restarts(containers), _most_restarts(inits)


def _most_restarts(statuses: list[Object]) -> int:
    return max((int(s.get("restartCount", 0)) for s in statuses), default=0)
