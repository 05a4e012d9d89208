"""DefaultTolerationSeconds: a pod stays 300 s on a node that is not ready or unreachable, unless it says otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import Environment, Plugin

if TYPE_CHECKING:
    from ..registry.operation import Operation

KEYS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class DefaultTolerationSeconds(Plugin):
    name = "DefaultTolerationSeconds"
    resources = frozenset({"pods"})

    def admit(self, op: Operation, env: Environment) -> None:
        if op.subresource or op.verb not in ("CREATE", "UPDATE"):
            return
        pod = op.object
        assert pod is not None
        spec = pod.get("spec") or {}
        tolerations = spec.get("tolerations") or []
        missing = [
            key
            for key in KEYS
            if not any(
                (t.get("key") == key or not t.get("key")) and t.get("effect") in ("NoExecute", None, "")
                for t in tolerations
            )
        ]
        if missing:
            added = [
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
                for key in missing
            ]
            pod["spec"] = {**spec, "tolerations": [*tolerations, *added]}
