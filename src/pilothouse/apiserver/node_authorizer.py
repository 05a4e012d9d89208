"""The Node authorizer: what a kubelet (`system:node:NAME` in the group `system:nodes`) may do.

It may read its own Node, the pods bound to it, and what those pods refer to: secrets, config maps, claims and their volumes, accounts
(whose tokens it may request), its own lease. Everything else that every kubelet needs is the fixed rules of the role `system:node`.
What a node may *write* to these is NodeRestriction's to check (`admission/node_restriction.py`), as in Kubernetes.

`_References` keeps, for each node, how many of its pods refer to an object. It catches up with the cache's changes when it is asked, so
that a cluster without kubelets on the wire pays nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..api.kinds import kind_of_resource
from ..api.object import Object, name_of, namespace_of
from .follower import Follower

if TYPE_CHECKING:
    from .authorization import Attributes
    from .registry.storage import Storage
    from .request import User

NODES_GROUP, NODE_PREFIX = "system:nodes", "system:node:"
LEASE_NAMESPACE = "kube-node-lease"
MIRROR = "kubernetes.io/config.mirror"
READS, WRITES = ("get", "list", "watch"), ("update", "patch")

Reference = tuple[str, str, str]  # resource, namespace, name


def node_of(user: User) -> str | None:
    """The node that a user is; None: no node."""
    if NODES_GROUP in user.groups and user.name.startswith(NODE_PREFIX):
        return user.name.removeprefix(NODE_PREFIX)
    return None


class NodeAuthorizer:
    """`allows(node, attributes)` is (allowed, why not); None for what the fixed rules decide."""

    def __init__(self, storage: Storage):
        self._storage = storage
        self._references = _References(storage)

    def allows(self, node: str, a: Attributes) -> tuple[bool, str] | None:
        decide = _DECISIONS.get(f"{a.resource}.{a.group}" if a.group else a.resource)
        return None if decide is None else decide(self, node, a)

    def _related(self, node: str, a: Attributes) -> tuple[bool, str]:
        if not a.name:
            return False, "No Object name found"
        if self._storage.get(kind_of_resource("nodes"), "", node) is not None:
            if self._references.related(node, (a.resource, a.namespace, a.name)):
                return True, ""
        return False, f"no relationship found between node '{node}' and this object"

    def _get(self, node: str, a: Attributes) -> tuple[bool, str]:
        if a.verb != "get":
            return False, "can only get individual resources of this type"
        if a.subresource:
            return False, "cannot get subresource"
        return self._related(node, a)

    def _read(self, node: str, a: Attributes) -> tuple[bool, str]:
        if a.verb not in READS:
            return False, "can only read resources of this type"
        if a.subresource:
            return False, "cannot read subresource"
        if not a.namespace:
            return False, "can only read namespaced object of this type"
        return self._related(node, a)

    def _claim(self, node: str, a: Attributes) -> tuple[bool, str]:
        if a.subresource != "status":
            return self._get(node, a)
        if a.verb not in WRITES:
            return False, "can only get/update/patch this type"
        return self._related(node, a)

    def _account(self, node: str, a: Attributes) -> tuple[bool, str]:
        if a.verb == "get" and not a.subresource:
            return self._related(node, a)
        if a.verb != "create" or not a.name:
            return False, "can only create tokens for individual service accounts"
        if a.subresource != "token":
            return False, "can only create token subresource of serviceaccount"
        return self._related(node, a)

    def _lease(self, node: str, a: Attributes) -> tuple[bool, str]:
        if a.verb not in ("get", "create", "update", "patch", "delete"):
            return False, "can only get, create, update, patch, or delete a node lease"
        if a.namespace != LEASE_NAMESPACE:
            return False, f'can only access leases in the "{LEASE_NAMESPACE}" system namespace'
        if a.verb != "create" and a.name != node:
            return False, "can only access node lease with the same name as the requesting node"
        return True, ""

    def _csi_node(self, node: str, a: Attributes) -> tuple[bool, str]:
        if a.verb not in ("get", "create", "update", "patch", "delete"):
            return False, "can only get, create, update, patch, or delete a CSINode"
        if a.subresource:
            return False, "cannot authorize CSINode subresources"
        if a.verb != "create" and a.name != node:
            return False, "can only access CSINode with the same name as the requesting node"
        return True, ""

    def _slice(self, node: str, a: Attributes) -> tuple[bool, str]:
        if a.subresource:
            return False, "cannot authorize ResourceSlice subresources"
        if a.verb == "create":
            return True, ""
        if a.verb in ("get", "update", "patch", "delete"):
            return self._related(node, a)
        if a.verb in ("watch", "list", "deletecollection"):
            if a.selects("nodeName", node):
                return True, ""
            return False, "can only list/watch/deletecollection resourceslices with nodeName field selector"
        verbs = "get, watch, list, create, update, patch, delete, deletecollection"
        return False, f"only the following verbs are allowed for a ResourceSlice: {verbs}"

    def _node(self, node: str, a: Attributes) -> tuple[bool, str]:
        if a.subresource == "" and a.verb in READS:
            if a.name == node:
                return True, ""
            what = f"'{a.name}'" if a.name else "all nodes"
            return False, f"node '{node}' cannot read {what}, only its own Node object"
        writes = ("create", *WRITES) if a.subresource == "" else WRITES if a.subresource == "status" else ()
        return a.verb in writes, ""

    def _pod(self, node: str, a: Attributes) -> tuple[bool, str]:
        if a.subresource == "":
            if a.verb == "get":
                return self._get(node, a)
            if a.verb in READS:
                if a.selects("spec.nodeName", node):
                    return True, ""
                if a.name:
                    return self._related(node, a)
                return False, "can only list/watch pods with spec.nodeName field selector"
        writes = {"": ("create", "delete"), "status": WRITES, "eviction": ("create",)}
        return a.verb in writes.get(a.subresource, ()), ""


_DECISIONS = {
    "secrets": NodeAuthorizer._read,
    "configmaps": NodeAuthorizer._read,
    "persistentvolumeclaims": NodeAuthorizer._claim,
    "persistentvolumes": NodeAuthorizer._get,
    "resourceclaims.resource.k8s.io": NodeAuthorizer._get,
    "volumeattachments.storage.k8s.io": NodeAuthorizer._get,
    "serviceaccounts": NodeAuthorizer._account,
    "leases.coordination.k8s.io": NodeAuthorizer._lease,
    "csinodes.storage.k8s.io": NodeAuthorizer._csi_node,
    "resourceslices.resource.k8s.io": NodeAuthorizer._slice,
    "nodes": NodeAuthorizer._node,
    "pods": NodeAuthorizer._pod,
}


class _References(Follower):
    """Which objects the pods of each node refer to."""

    def __init__(self, storage: Storage):
        super().__init__(storage.cache, "pods")
        self._storage = storage
        self.clear()

    def related(self, node: str, target: Reference) -> bool:
        self.catch_up()
        resource, namespace, name = target
        counts = self._counts.get(node, Counter())
        if counts[target]:
            return True
        match resource:
            case "persistentvolumes":
                found = self._storage.get(kind_of_resource("persistentvolumes"), "", name)
                claim = (found.object["spec"].get("claimRef") or {}) if found else {}
                return bool(
                    counts["persistentvolumeclaims", claim.get("namespace") or "", claim.get("name") or ""]
                )
            case "secrets":
                return (namespace, name) in self._secrets_of_volumes(counts)
            case "volumeattachments" | "resourceslices":
                group = "storage.k8s.io" if resource == "volumeattachments" else "resource.k8s.io"
                entry = self._storage.get(kind_of_resource(f"{resource}.{group}"), "", name)
                return entry is not None and (entry.object.get("spec") or {}).get("nodeName") == node
        return False

    def _secrets_of_volumes(self, counts: Counter[Reference]) -> Iterator[tuple[str, str]]:
        """The secrets that the volumes of the node's claims need."""
        for resource, namespace, name in counts:
            if resource != "persistentvolumeclaims":
                continue
            claim = self._storage.get(kind_of_resource(resource), namespace, name)
            spec = (claim.object.get("spec") or {}) if claim else {}
            volume_name: str = spec.get("volumeName") or ""
            volume = volume_name and self._storage.get(kind_of_resource("persistentvolumes"), "", volume_name)
            if volume:
                yield from _secrets_of_volume(volume.object, namespace)

    def clear(self) -> None:
        self._pods: dict[str, tuple[str, list[Reference]]] = {}  # by cache key
        self._counts: dict[str, Counter[Reference]] = defaultdict(Counter)

    def add(self, key: str, obj: Object) -> None:
        node = obj["spec"].get("nodeName")
        if node:
            references = list(references_of(obj))
            self._pods[key] = node, references
            self._counts[node].update(references)

    def drop(self, key: str) -> None:
        node, references = self._pods.pop(key, ("", []))
        if not node:
            return
        counts = self._counts[node]
        counts.subtract(references)
        for reference in references:
            if counts[reference] <= 0:
                del counts[reference]
        if not counts:
            del self._counts[node]


def references_of(pod: Object) -> Iterator[Reference]:
    """Itself, and what it refers to (a mirror pod: only itself)."""
    namespace, spec = namespace_of(pod), pod["spec"]
    yield "pods", namespace, name_of(pod)
    if MIRROR in (pod["metadata"].get("annotations") or {}):
        return
    if spec.get("serviceAccountName"):
        yield "serviceaccounts", namespace, spec["serviceAccountName"]
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", namespace, secret.get("name") or ""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            sources = [variable.get("valueFrom") or {} for variable in container.get("env") or ()]
            for source in [*sources, *(container.get("envFrom") or ())]:
                for key, resource in _ENVIRONMENT.items():
                    if key in source:
                        yield resource, namespace, source[key].get("name") or ""
    for volume in spec.get("volumes") or ():
        yield from _references_of_volume(volume, namespace, name_of(pod))
    for status in (pod.get("status") or {}).get("resourceClaimStatuses") or ():
        if status.get("resourceClaimName"):
            yield "resourceclaims", namespace, status["resourceClaimName"]
    for claim in spec.get("resourceClaims") or ():
        if claim.get("resourceClaimName"):
            yield "resourceclaims", namespace, claim["resourceClaimName"]


_ENVIRONMENT = {
    "secretKeyRef": "secrets",
    "configMapKeyRef": "configmaps",
    "secretRef": "secrets",
    "configMapRef": "configmaps",
}


def _references_of_volume(volume: Object, namespace: str, pod: str) -> Iterator[Reference]:
    if "persistentVolumeClaim" in volume:
        yield "persistentvolumeclaims", namespace, volume["persistentVolumeClaim"].get("claimName") or ""
    if "ephemeral" in volume:
        yield "persistentvolumeclaims", namespace, f"{pod}-{volume['name']}"
    for source in [volume, *((volume.get("projected") or {}).get("sources") or ())]:
        if "secret" in source:
            yield (
                "secrets",
                namespace,
                source["secret"].get("secretName") or source["secret"].get("name") or "",
            )
        if "configMap" in source:
            yield "configmaps", namespace, source["configMap"].get("name") or ""
    if (volume.get("azureFile") or {}).get("secretName"):
        yield "secrets", namespace, volume["azureFile"]["secretName"]
    for source in volume.values():
        if isinstance(source, dict):
            for field in ("secretRef", "nodePublishSecretRef"):
                if field in source:
                    yield "secrets", namespace, source[field].get("name") or ""


def _secrets_of_volume(volume: Object, namespace: str) -> Iterator[tuple[str, str]]:
    """(namespace, name) of the secrets that mounting a persistent volume takes."""
    for source in volume["spec"].values():
        if not isinstance(source, dict):
            continue
        for field, reference in source.items():
            if field.lower().endswith("secretref") and isinstance(reference, dict):
                yield reference.get("namespace") or namespace, reference.get("name") or ""
        if source.get("secretName"):
            yield source.get("secretNamespace") or namespace, source["secretName"]
