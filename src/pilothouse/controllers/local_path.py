"""The provisioner of the default class `standard`: each volume is a directory of the node that its first pod goes to.

The scheduler chooses the node (WaitForFirstConsumer) and writes it on the claim; the volume is pinned to it. A directory goes
when its volume is released, unless the class says Retain.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from ..api.errors import ApiError
from ..api.object import (
    Object,
    annotations_of,
    get,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from ..client.interface import Client
from .plan import NOTHING, Action, Controller, Create, Delete, Effect, Event, Plan, Source, View
from .volume_binder import CLAIMS, CLASSES, PROVISIONED_BY, PROVISIONER, SELECTED_NODE, VOLUMES

PROVISIONER_NAME = "pilothouse.io/local-path"
BINDINGS = "clusterrolebindings.rbac.authorization.k8s.io"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_ELSEWHERE = "/opt/local-path-provisioner"  # where the engine is simulated: no directory is made
STANDARD_CLASS: Object = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "standard", "annotations": {_DEFAULT_CLASS: "true"}},
    "provisioner": PROVISIONER_NAME,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
}
# Kubernetes has the role, for provisioners like ours, and leaves it to them to bind it
BINDING: Object = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "pilothouse:local-path-provisioner"},
    "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "system:persistent-volume-provisioner",
    },
    "subjects": [
        {"kind": "ServiceAccount", "namespace": "kube-system", "name": "local-path-provisioner"},
    ],
}


async def install(client: Client) -> None:
    """What an administrator gives the provisioner: its rights, and the class by which claims ask for it."""
    for resource, obj in ((BINDINGS, BINDING), (CLASSES, STANDARD_CLASS)):
        try:
            await client.create(resource, obj)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise


class LocalPathProvisioner(Controller):
    name = "local-path-provisioner"
    component = PROVISIONER_NAME
    account = "local-path-provisioner"
    extra_resources = ("nodes", CLASSES)

    @property
    def sources(self) -> Mapping[str, Source]:
        return {CLAIMS: _kind("claim"), VOLUMES: _kind("volume")}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        kind, _, rest = key.partition("/")
        if kind == "volume":
            volume = view.of(VOLUMES).get("", rest)
            return self._reclaim(volume) if volume is not None else NOTHING
        claim = view.of(CLAIMS).get(*split_key(rest))
        return self._provision(claim, view) if claim is not None else NOTHING

    def _provision(self, claim: Object, view: View) -> Plan:
        annotations = annotations_of(claim)
        storage_class = view.of(CLASSES).get("", get(claim, "spec.storageClassName", ""))
        if (
            annotations.get(PROVISIONER) != PROVISIONER_NAME
            or get(claim, "spec.volumeName")
            or is_deleting(claim)
            or storage_class is None
        ):
            return NOTHING
        node_name = annotations.get(SELECTED_NODE)
        node = view.of("nodes").get("", node_name) if node_name else None
        if storage_class.get("volumeBindingMode") == "WaitForFirstConsumer" and node is None:
            return NOTHING
        name = f"pvc-{uid_of(claim)}"
        if view.of(VOLUMES).get("", name) is not None:
            return NOTHING
        if get(claim, "spec.volumeMode") == "Block":
            message = (
                f'failed to provision volume with StorageClass "{name_of(storage_class)}": no block volumes'
            )
            return Plan([Event(claim, "Warning", "ProvisioningFailed", message)])
        where = f"{namespace_of(claim)}/{name_of(claim)}"
        path = f"{self.env.data_directory or _ELSEWHERE}/{name}_{where.replace('/', '_')}"
        begin = f'External provisioner is provisioning volume for claim "{where}"'
        done = f"Successfully provisioned volume {name}"
        return Plan(
            [
                Event(claim, "Normal", "Provisioning", begin),
                *self._effect(f"mkdir {path}", _make, path),
                Create(VOLUMES, _volume(name, path, claim, storage_class, node), ignore=("AlreadyExists",)),
                Event(claim, "Normal", "ProvisioningSucceeded", done),
            ]
        )

    def _reclaim(self, volume: Object) -> Plan:
        if (
            annotations_of(volume).get(PROVISIONED_BY) != PROVISIONER_NAME
            or get(volume, "status.phase") != "Released"
            or get(volume, "spec.persistentVolumeReclaimPolicy") != "Delete"
            or is_deleting(volume)
        ):
            return NOTHING
        path = get(volume, "spec.hostPath.path", "")
        return Plan(
            [
                *self._effect(f"rm -r {path}", _remove, path),
                Delete(VOLUMES, "", name_of(volume), uid_of(volume)),
            ]
        )

    def _effect(self, name: str, work: Callable[[str, str], None], path: str) -> list[Action]:
        root = self.env.data_directory
        if not root:
            return []

        def run() -> Awaitable[None]:
            return asyncio.to_thread(work, root, path)

        return [Effect(name, run)]


def _kind(kind: str) -> Source:
    def source(old: Object | None, new: Object | None, view: View) -> list[str]:
        obj = new or old or {}
        namespace = namespace_of(obj)
        return [f"{kind}/{namespace}/{name_of(obj)}" if namespace else f"{kind}/{name_of(obj)}"]

    return source


def _volume(name: str, path: str, claim: Object, storage_class: Object, node: Object | None) -> Object:
    spec: Object = {
        "capacity": {"storage": get(claim, "spec.resources.requests.storage", "0")},
        "accessModes": get(claim, "spec.accessModes", []),
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
        "storageClassName": name_of(storage_class),
        "volumeMode": "Filesystem",
        "hostPath": {"path": path, "type": "DirectoryOrCreate"},
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": namespace_of(claim),
            "name": name_of(claim),
            "uid": uid_of(claim),
            "resourceVersion": claim["metadata"].get("resourceVersion", ""),
        },
    }
    if storage_class.get("mountOptions"):
        spec["mountOptions"] = storage_class["mountOptions"]
    if node is not None:
        host = labels_of(node).get("kubernetes.io/hostname", name_of(node))
        expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [host]}
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER_NAME}},
        "spec": spec,
    }


def _inside(root: str, path: str) -> Path:
    """What a volume's object says is not believed: only a direct child of the data directory is ever touched."""
    found = Path(os.path.normpath(path))
    if found.parent != Path(os.path.normpath(root)):
        raise ValueError(f"{path} is not a volume of {root}")
    return found


def _make(root: str, path: str) -> None:
    found = _inside(root, path)
    found.parent.mkdir(parents=True, exist_ok=True)
    found.mkdir(exist_ok=True)
    found.chmod(0o777)  # containers may run as anybody


def _remove(root: str, path: str) -> None:
    found = _inside(root, path)
    if found.is_dir() and not found.is_symlink():
        shutil.rmtree(found)
