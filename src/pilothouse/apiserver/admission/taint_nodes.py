"""TaintNodesByCondition: a new node is not ready until its kubelet has said so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import Environment, Plugin

if TYPE_CHECKING:
    from ..registry.operation import Operation

NOT_READY = "node.kubernetes.io/not-ready"


class TaintNodesByCondition(Plugin):
    name = "TaintNodesByCondition"
    resources = frozenset({"nodes"})

    def admit(self, op: Operation, env: Environment) -> None:
        if op.verb != "CREATE" or op.subresource:
            return
        assert op.object is not None
        spec = op.object.get("spec") or {}
        taints = spec.get("taints") or []
        if not any(t.get("key") == NOT_READY and t.get("effect") == "NoSchedule" for t in taints):
            op.object["spec"] = {**spec, "taints": [*taints, {"key": NOT_READY, "effect": "NoSchedule"}]}
