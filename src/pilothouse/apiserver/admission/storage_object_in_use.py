"""StorageObjectInUseProtection: volumes and claims are born with the finalizer that keeps them while something uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import Environment, Plugin

if TYPE_CHECKING:
    from ..registry.operation import Operation

FINALIZERS = {
    "persistentvolumes": "kubernetes.io/pv-protection",
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "volumeattributesclasses.storage.k8s.io": "kubernetes.io/vac-protection",
}


class StorageObjectInUseProtection(Plugin):
    name = "StorageObjectInUseProtection"
    resources = frozenset(FINALIZERS)

    def admit(self, op: Operation, env: Environment) -> None:
        if op.verb != "CREATE" or op.subresource:
            return
        assert op.object is not None
        finalizer = FINALIZERS[op.resource]
        finalizers = op.object["metadata"].get("finalizers") or []
        if finalizer not in finalizers:
            op.object["metadata"]["finalizers"] = [*finalizers, finalizer]
