"""DefaultStorageClass: a claim that names no class (and does not refuse one with "") gets the newest default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import Environment, Plugin

if TYPE_CHECKING:
    from ..registry.operation import Operation

ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


class DefaultStorageClass(Plugin):
    name = "DefaultStorageClass"
    resources = frozenset({"persistentvolumeclaims"})

    def admit(self, op: Operation, env: Environment) -> None:
        if op.verb != "CREATE" or op.subresource:
            return
        claim = op.object
        assert claim is not None
        spec = claim.get("spec") or {}
        if spec.get("storageClassName") is not None:
            return
        if "volume.beta.kubernetes.io/storage-class" in (claim["metadata"].get("annotations") or {}):
            return
        defaults = [
            c
            for c in env.lister.list("storageclasses.storage.k8s.io")
            if any((c["metadata"].get("annotations") or {}).get(a) == "true" for a in ANNOTATIONS)
        ]
        if defaults:
            by_name = sorted(defaults, key=lambda c: str(c["metadata"]["name"]))
            newest = max(by_name, key=lambda c: str(c["metadata"]["creationTimestamp"]))
            claim["spec"] = {**spec, "storageClassName": newest["metadata"]["name"]}
