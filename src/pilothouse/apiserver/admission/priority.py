"""Priority: a pod's class becomes its number and its preemption policy; there is one default class at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...api.errors import forbidden
from ...api.object import Object
from . import Environment, Plugin

if TYPE_CHECKING:
    from ..registry.operation import Operation

CLASSES = "priorityclasses.scheduling.k8s.io"
SYSTEM_CLASSES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}


class Priority(Plugin):
    name = "Priority"
    resources = frozenset({"pods", CLASSES})

    def admit(self, op: Operation, env: Environment) -> None:
        if op.resource != "pods" or op.subresource or op.verb not in ("CREATE", "UPDATE"):
            return
        pod = op.object
        assert pod is not None
        if op.verb == "UPDATE":
            old_spec = (op.old or {}).get("spec") or {}
            spec = pod.get("spec") or {}
            if spec.get("priority") is None and old_spec.get("priority") is not None:
                pod["spec"] = {**spec, "priority": old_spec["priority"]}
            spec = pod["spec"]
            if spec.get("preemptionPolicy") is None and old_spec.get("preemptionPolicy") is not None:
                pod["spec"] = {**spec, "preemptionPolicy": old_spec["preemptionPolicy"]}
            return
        spec = pod["spec"] = dict(pod.get("spec") or {})
        name = spec.get("priorityClassName") or ""
        if not name:
            found = _default_class(env)
            value, policy, name = (0, "PreemptLowerPriority", "") if found is None else _of(found)
        else:
            found = env.lister.get(CLASSES, "", name)
            if found is None:
                raise forbidden("pods", "", op.shown_name, f"no PriorityClass with name {name} was found")
            value, policy, name = _of(found)
        if name:
            spec["priorityClassName"] = name
        asked = spec.get("priority")
        if asked is not None and asked != value:
            why = f"the integer value of priority ({asked}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
            raise forbidden("pods", "", op.shown_name, why)
        spec["priority"] = value
        asked_policy = spec.get("preemptionPolicy")
        if asked_policy is not None and asked_policy != policy:
            why = f"the string value of PreemptionPolicy ({asked_policy}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
            raise forbidden("pods", "", op.shown_name, why)
        spec["preemptionPolicy"] = policy

    def validate(self, op: Operation, env: Environment) -> None:
        if (
            op.resource != CLASSES
            or op.verb not in ("CREATE", "UPDATE")
            or not (op.object or {}).get("globalDefault")
        ):
            return
        for other in env.lister.list(CLASSES):
            name = other["metadata"]["name"]
            if other.get("globalDefault") and (op.verb == "CREATE" or name != op.name):
                why = f"PriorityClass {name} is already marked as default. Only one default can exist"
                raise forbidden("priorityclasses", "scheduling.k8s.io", op.shown_name, why)


def _default_class(env: Environment) -> Object | None:
    defaults = [c for c in env.lister.list(CLASSES) if c.get("globalDefault")]
    return min(defaults, key=lambda c: c.get("value", 0)) if defaults else None


def _of(found: Object) -> tuple[int, str, str]:
    return (
        int(found.get("value") or 0),
        found.get("preemptionPolicy") or "PreemptLowerPriority",
        found["metadata"]["name"],
    )
