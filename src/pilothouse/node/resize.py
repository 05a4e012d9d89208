"""In-place resize (KEP-1287): a pod's spec says what is wanted, `allocated` what the node has granted and runs with. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from ..api.object import Object
from ..api.qos import pod_limits
from .admission import room_for
from .environment import container_named, together
from .observed import Waiting
from .resources import memory_bytes

Allocated = dict[str, Object]  # by container; POD: those of the pod as a whole, if it has any
POD = ""


def resizable(pod: Object) -> list[Object]:
    return [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]


def wanted(pod: Object) -> Allocated:
    found = {container["name"]: container.get("resources") or {} for container in resizable(pod)}
    if whole := pod["spec"].get("resources"):
        found[POD] = whole
    return found


def allocated_before(pod: Object) -> Allocated:
    """From what the node has written in the pod's status; what has not begun gets what it wants."""
    found = wanted(pod)
    status = pod.get("status") or {}
    if POD in found and status.get("resources"):
        found[POD] = status["resources"]
    for key in ("initContainerStatuses", "containerStatuses"):
        for shown in status.get(key) or ():
            if shown["name"] in found and "resources" in shown:
                found[shown["name"]] = shown["resources"]
    return found


def with_allocated(pod: Object, allocated: Allocated) -> Object:
    """The pod as the node runs it."""
    if wanted(pod) == allocated:
        return pod
    spec = dict(pod["spec"])
    if POD in allocated:
        spec["resources"] = allocated[POD]
    for key in ("initContainers", "containers"):
        if spec.get(key):
            spec[key] = [
                {**c, "resources": allocated[c["name"]]} if c["name"] in allocated else c for c in spec[key]
            ]
    return {**pod, "spec": spec}


def refused(pod: Object, others: Iterable[Object], allocatable: Mapping[str, str]) -> Waiting | None:
    """Why not now. (What the node could never give, the API server has refused already.)"""
    why = room_for(pod, list(others), allocatable)
    return Waiting("Deferred", why.message) if why else None


def too_low(before: Object, after: Object, usage: Mapping[str, int]) -> str:
    """Why memory limits cannot be lowered from one pod's to the other's while `usage` bytes are in use, by container."""
    problems = []
    old, new = (memory_bytes(_whole_limit(pod), "limits") for pod in (before, after))
    if new and (not old or new < old) and (used := sum(usage.values())) >= new:
        problems.append(f"attempting to set pod memory limit ({new}) below current usage ({used})")
    for name, used in usage.items():
        old, new = (
            memory_bytes(container_named(pod, name).get("resources") or {}, "limits")
            for pod in (before, after)
        )
        if new and (not old or new < old) and used >= new:
            problems.append(
                f'attempting to set container "{name}" memory limit ({new}) below current usage ({used})'
            )
    return f"cannot decrease memory limits: {together(problems)}" if problems else ""


def _whole_limit(pod: Object) -> Object:
    """A pod is limited if all its containers are."""
    parts = resizable(pod)
    limited = all(memory_bytes(part.get("resources") or {}, "limits") for part in parts)
    return {"limits": pod_limits(pod)} if limited else pod["spec"].get("resources") or {}


def needs_restart(container: Object, before: Object, after: Object) -> bool:
    policies = {p["resourceName"]: p["restartPolicy"] for p in container.get("resizePolicy") or ()}
    return any(
        policies.get(name) == "RestartContainer"
        and any(
            (before.get(kind) or {}).get(name) != (after.get(kind) or {}).get(name)
            for kind in ("limits", "requests")
        )
        for name in ("cpu", "memory")
    )


def message(what: str, pod: Object, error: str = "") -> str:
    """Of the events about a resize."""
    facts: Object = {}
    for key in ("initContainers", "containers"):
        if pod["spec"].get(key):
            facts[key] = [
                {"name": c["name"], "resources": _sorted(c.get("resources") or {})} for c in pod["spec"][key]
            ]
    facts["generation"] = pod["metadata"].get("generation") or 1
    if error:
        facts["error"] = error
    return f"Pod resize {what}: {json.dumps(facts, separators=(',', ':'), ensure_ascii=False)}"


def _sorted(resources: Object) -> Object:
    return {key: dict(sorted(resources[key].items())) for key in ("limits", "requests") if resources.get(key)}
