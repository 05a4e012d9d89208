"""Claims and volumes in use are not deleted: their finalizers go when nobody uses them any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ..api.object import Object, get, is_deleting, name_of, namespace_of, split_key
from ..client.informer import IndexFunction
from .common import with_metadata
from .plan import NOTHING, Controller, Plan, Source, Update, View, own


def _set_finalizers(resource: str, obj: Object, finalizers: list[str]) -> Plan:
    return Plan([Update(resource, with_metadata(obj, finalizers=finalizers), ignore=("NotFound",))])


class _Protection(Controller):
    resource: ClassVar[str]
    finalizer: ClassVar[str]

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        obj = view.of(self.resource).get(*split_key(key))
        if obj is None:
            return NOTHING
        finalizers = obj["metadata"].get("finalizers") or []
        if is_deleting(obj):
            if self.finalizer in finalizers and not self.is_used(obj, view):
                return _set_finalizers(self.resource, obj, [f for f in finalizers if f != self.finalizer])
        elif self.finalizer not in finalizers:
            return _set_finalizers(self.resource, obj, [*finalizers, self.finalizer])
        return NOTHING

    def is_used(self, obj: Object, view: View) -> bool:
        raise NotImplementedError


class ClaimProtectionController(_Protection):
    name = "persistentvolumeclaim-protection"
    component = "pvc-protection-controller"
    resource = "persistentvolumeclaims"
    finalizer = "kubernetes.io/pvc-protection"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {self.resource: own, "pods": _claims_of_ended_pod}

    @property
    def indexes(self) -> Mapping[str, Mapping[str, IndexFunction]]:
        return {"pods": {"claim": claims_of}}

    def is_used(self, obj: Object, view: View) -> bool:
        """By a pod that is on a node: the kubelet knows only those."""
        key = f"{namespace_of(obj)}/{name_of(obj)}"
        return any(
            p["spec"].get("nodeName") and not _is_shut_down(p) for p in view.of("pods").by_index("claim", key)
        )


def _is_shut_down(pod: Object) -> bool:
    return is_deleting(pod) and pod["metadata"].get("deletionGracePeriodSeconds") == 0


def claims_of(pod: Object) -> list[str]:
    """An index: the keys of the claims that a pod mounts, ephemeral ones too."""
    namespace = namespace_of(pod)
    found = []
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            found.append(f"{namespace}/{volume['persistentVolumeClaim']['claimName']}")
        elif volume.get("ephemeral"):
            found.append(f"{namespace}/{name_of(pod)}-{volume['name']}")
    return found


def _claims_of_ended_pod(old: Object | None, new: Object | None, view: View) -> list[str]:
    if new is None or is_deleting(new) or not new["spec"].get("nodeName"):
        return claims_of(new or old or {})
    return []


class VolumeProtectionController(_Protection):
    name = "persistentvolume-protection"
    component = "pv-protection-controller"
    resource = "persistentvolumes"
    finalizer = "kubernetes.io/pv-protection"

    @property
    def sources(self) -> Mapping[str, Source]:
        return {self.resource: own}

    def is_used(self, obj: Object, view: View) -> bool:
        return bool(get(obj, "status.phase") == "Bound")


_VAC = "volumeattributesclasses.storage.k8s.io"


class VolumeAttributesClassProtectionController(_Protection):
    """Used by claims that want it, have it or are on the way to it, and by volumes (KEP-3751)."""

    name = "volumeattributesclass-protection"
    component = "vac-protection-controller"
    account = "volumeattributesclass-protection-controller"
    resource = _VAC
    finalizer = "kubernetes.io/vac-protection"
    extra_resources = ("persistentvolumeclaims", "persistentvolumes")

    @property
    def sources(self) -> Mapping[str, Source]:
        return {
            _VAC: own,
            "persistentvolumeclaims": _classes_given_up,
            "persistentvolumes": _classes_given_up,
        }

    def is_used(self, obj: Object, view: View) -> bool:
        users = (*view.of("persistentvolumeclaims").list(), *view.of("persistentvolumes").list())
        return any(name_of(obj) in _classes_of(user) for user in users)


def _classes_of(user: Object) -> list[str]:
    paths = (
        "spec.volumeAttributesClassName",
        "status.currentVolumeAttributesClassName",
        "status.modifyVolumeStatus.targetVolumeAttributesClassName",
    )
    return [name for path in paths if (name := get(user, path))]


def _classes_given_up(old: Object | None, new: Object | None, view: View) -> list[str]:
    kept = _classes_of(new) if new else []
    return [name for name in _classes_of(old or {}) if name not in kept]
