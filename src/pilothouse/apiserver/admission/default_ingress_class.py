"""DefaultIngressClass: an Ingress without a class gets the newest default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import Environment, Plugin

if TYPE_CHECKING:
    from ..registry.operation import Operation

ANNOTATION = "ingressclass.kubernetes.io/is-default-class"


class DefaultIngressClass(Plugin):
    name = "DefaultIngressClass"
    resources = frozenset({"ingresses.networking.k8s.io"})

    def admit(self, op: Operation, env: Environment) -> None:
        if op.verb != "CREATE" or op.subresource:
            return
        ingress = op.object
        assert ingress is not None
        spec = ingress.get("spec") or {}
        if spec.get("ingressClassName") is not None:
            return
        if (ingress["metadata"].get("annotations") or {}).get("kubernetes.io/ingress.class"):
            return
        defaults = [
            c
            for c in env.lister.list("ingressclasses.networking.k8s.io")
            if (c["metadata"].get("annotations") or {}).get(ANNOTATION) == "true"
        ]
        if defaults:
            by_name = sorted(defaults, key=lambda c: str(c["metadata"]["name"]))
            newest = max(by_name, key=lambda c: str(c["metadata"]["creationTimestamp"]))
            ingress["spec"] = {**spec, "ingressClassName": newest["metadata"]["name"]}
