"""RuntimeClass: a pod's runtime class must exist; its overhead, node selector and tolerations become the pod's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...api.errors import forbidden
from ...api.object import Object
from . import Environment, Plugin

if TYPE_CHECKING:
    from ..registry.operation import Operation

CLASSES = "runtimeclasses.node.k8s.io"


class RuntimeClass(Plugin):
    name = "RuntimeClass"
    resources = frozenset({"pods"})

    def admit(self, op: Operation, env: Environment) -> None:
        if op.verb != "CREATE" or op.subresource:
            return
        pod = op.object
        assert pod is not None
        spec = pod.get("spec") or {}
        name = spec.get("runtimeClassName")
        if not name:
            if spec.get("overhead"):
                raise forbidden(
                    "pods",
                    "",
                    op.shown_name,
                    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
                )
            return
        found = env.lister.get(CLASSES, "", name)
        if found is None:
            why = f'pod rejected: RuntimeClass "{name}" not found'
            raise forbidden("pods", "", op.shown_name, why)
        spec = pod["spec"] = dict(spec)
        overhead = (found.get("overhead") or {}).get("podFixed")
        if overhead:
            if spec.get("overhead") and spec["overhead"] != overhead:
                raise forbidden(
                    "pods",
                    "",
                    op.shown_name,
                    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
                )
            spec["overhead"] = dict(overhead)
        elif spec.get("overhead"):
            raise forbidden(
                "pods",
                "",
                op.shown_name,
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            )
        scheduling = found.get("scheduling") or {}
        selector = scheduling.get("nodeSelector") or {}
        mine = spec.get("nodeSelector") or {}
        for key, value in selector.items():
            if key in mine and mine[key] != value:
                why = f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {mine[key]}"
                raise forbidden("pods", "", op.shown_name, why)
        if selector:
            spec["nodeSelector"] = {**mine, **selector}
        if scheduling:
            tolerations = merged([*(spec.get("tolerations") or ()), *(scheduling.get("tolerations") or ())])
            if tolerations:
                spec["tolerations"] = tolerations


def merged(tolerations: list[Object]) -> list[Object]:
    """Without those that another one includes; of equal ones the first stays."""
    kept: list[Object] = []
    for number, one in enumerate(tolerations):
        later = (other for other in tolerations[number + 1 :] if other != one)
        if not any(_includes(other, one) for other in (*kept, *later)):
            kept.append(one)
    return kept


def _includes(wide: Object, narrow: Object) -> bool:
    if wide == narrow:
        return True
    operator = wide.get("operator") or "Equal"
    if (wide.get("key") or "") != (narrow.get("key") or "") and (wide.get("key") or operator != "Exists"):
        return False
    if wide.get("effect") and wide["effect"] != narrow.get("effect"):
        return False
    if wide.get("effect") == "NoExecute" and wide.get("tolerationSeconds") is not None:
        seconds = narrow.get("tolerationSeconds")
        if seconds is None or seconds > wide["tolerationSeconds"]:
            return False
    if operator == "Equal":
        return narrow.get("operator") == "Equal" and (narrow.get("value") or "") == (wide.get("value") or "")
    return bool(operator == "Exists")
