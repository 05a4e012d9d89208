"""PersistentVolumeClaimResize: a claim may grow only if its StorageClass says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...api.errors import forbidden
from ...api.object import Object, annotations_of, get
from ...api.quantity import Quantity
from . import Environment, Plugin

if TYPE_CHECKING:
    from ..registry.operation import Operation


class PersistentVolumeClaimResize(Plugin):
    name = "PersistentVolumeClaimResize"
    resources = frozenset({"persistentvolumeclaims"})

    def validate(self, op: Operation, env: Environment) -> None:
        if op.verb != "UPDATE" or op.subresource:
            return
        size, was = (
            Quantity.of(get(claim or {}, "spec.resources.requests.storage", "0")).number
            for claim in (op.object, op.old)
        )
        if size <= was:
            return
        if get(op.old or {}, "status.phase") != "Bound":
            raise forbidden("persistentvolumeclaims", "", op.name, "Only bound persistent volume claims can be expanded")  # fmt: skip
        names = {_class_of(claim or {"metadata": {}}) for claim in (op.object, op.old)}
        name = names.pop() if len(names) == 1 else ""
        storage_class = env.lister.get("storageclasses.storage.k8s.io", "", name) if name else None
        if not (storage_class or {}).get("allowVolumeExpansion"):
            why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
            raise forbidden("persistentvolumeclaims", "", op.name, why)


def _class_of(claim: Object) -> str:
    beta = annotations_of(claim).get("volume.beta.kubernetes.io/storage-class")
    return str(get(claim, "spec.storageClassName", "") if beta is None else beta)
