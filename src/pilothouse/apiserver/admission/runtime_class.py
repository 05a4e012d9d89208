"""RuntimeClass: a pod's runtime class must exist; its overhead, node selector and tolerations become the pod's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...api.errors import forbidden
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
                    op.name,
                    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
                )
            return
        found = env.lister.get(CLASSES, "", name)
        if found is None:
            why = f'pod rejected: RuntimeClass "{name}" not found'
            raise forbidden("pods", "", op.name, why)
        spec = pod["spec"] = dict(spec)
        overhead = (found.get("overhead") or {}).get("podFixed")
        if overhead:
            if spec.get("overhead") and spec["overhead"] != overhead:
                raise forbidden(
                    "pods",
                    "",
                    op.name,
                    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
                )
            spec["overhead"] = dict(overhead)
        elif spec.get("overhead"):
            raise forbidden(
                "pods",
                "",
                op.name,
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            )
        scheduling = found.get("scheduling") or {}
        selector = scheduling.get("nodeSelector") or {}
        mine = spec.get("nodeSelector") or {}
        for key, value in selector.items():
            if key in mine and mine[key] != value:
                why = f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {mine[key]}"
                raise forbidden("pods", "", op.name, why)
        if selector:
            spec["nodeSelector"] = {**mine, **selector}
        added = [t for t in scheduling.get("tolerations") or () if t not in (spec.get("tolerations") or [])]
        if added:
            spec["tolerations"] = [*(spec.get("tolerations") or []), *added]
