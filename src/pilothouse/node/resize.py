"""In-place resize (KEP-1287): a pod's spec says what is wanted, `allocated` what the node has granted and runs with. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from ..api.object import Object
from .admission import room_for
from .observed import Waiting
from .sync import is_sidecar

Allocated = dict[str, Object]  # by container; POD: those of the pod as a whole, if it has any
POD = ""


def resizable(pod: Object) -> list[Object]:
    sidecars = [c for c in pod["spec"].get("initContainers") or () if is_sidecar(c)]
    return [*sidecars, *pod["spec"]["containers"]]


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
    """Infeasible: never on this node; Deferred: not now."""
    if why := room_for(pod, [], allocatable):
        return Waiting("Infeasible", why.message)
    if why := room_for(pod, list(others), allocatable):
        return Waiting("Deferred", why.message)
    return None


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


def message(what: str, pod: Object) -> str:
    """Of the events ResizeStarted and ResizeCompleted."""
    facts = {
        "containers": [
            {"name": name, "resources": resources} for name, resources in wanted(pod).items() if name
        ],
        "generation": pod["metadata"].get("generation") or 1,
    }
    return f"Pod resize {what}: {json.dumps(facts, separators=(',', ':'))}"
