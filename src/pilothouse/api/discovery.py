"""What a server serves, as clients ask for it: `/api`, `/apis` and below, and aggregated discovery (v2).

Pure builders from a list of `Kind`s, so that custom resources show the same way as built-in ones. Groups and versions come
out in the order of their first row, which in `kinds.KINDS` is Kubernetes' priority; groups of custom resources follow, by
version and name.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterable, Sequence

from .kinds import Kind, Subresource
from .object import Object

AGGREGATED_MEDIA_TYPE = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

# Kinds whose hash still stands for an older version than the one served: what Kubernetes 1.36 writes to etcd.
_HASHED_VERSIONS = {
    "customresourcedefinitions.apiextensions.k8s.io": "v1beta1",
    "mutatingadmissionpolicies.admissionregistration.k8s.io": "v1beta1",
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": "v1beta1",
}


def api_versions(server_address: str) -> Object:
    """GET /api. `server_address` is `host:port`."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    }


def api_group_list(kinds: Iterable[Kind]) -> Object:
    """GET /apis."""
    groups = [group_of(name, versions) for name, versions in _groups(kinds).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def api_group(kinds: Iterable[Kind], name: str) -> Object | None:
    """GET /apis/<group>; None for a group that is not served."""
    versions = _groups(kinds).get(name)
    if not name or versions is None:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **group_of(name, versions)}


def api_resource_list(kinds: Iterable[Kind], group: str, version: str) -> Object | None:
    """GET /api/v1 and /apis/<group>/<version>; None for what is not served."""
    rows = [kind for kind in kinds if (kind.group, kind.version) == (group, version)]
    if not rows:
        return None
    resources = [resource for kind in rows for resource in _resources(kind)]
    if not rows[0].custom:  # those stay as their CustomResourceDefinition has them
        resources.sort(key=lambda resource: resource["name"])
    found: Object = {"kind": "APIResourceList"}
    if group:  # the core group's list has none, for the sake of clients from before groups
        found["apiVersion"] = "v1"
    return {**found, "groupVersion": rows[0].api_version, "resources": resources}


def aggregated(kinds: Iterable[Kind], *, core: bool) -> Object:
    """GET /api (`core`) and /apis with the Accept of AGGREGATED_MEDIA_TYPE."""
    items = []
    for name, versions in _groups(kinds).items():
        if bool(name) != core:
            items.append(
                {
                    "metadata": {"name": name} if name else {},
                    "versions": [_discovered_version(version, rows) for version, rows in versions.items()],
                }
            )
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def storage_version_hash(kind: Kind) -> str:
    """KEP-2339: a client can see that the stored version changed, without being told what it is."""
    version = _HASHED_VERSIONS.get(kind.resource, kind.storage_version)
    text = f"{kind.storage_group}/{version}/{kind.kind}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")


def version_priority(version: str) -> tuple[int, int, int, int, str]:
    """A sort key: v10, v2, v1, v2beta1, v1alpha1, then all others by name. (API conventions, "version priority")."""
    match = _VERSION.fullmatch(version)
    if not match:
        return (1, 0, 0, 0, version)
    stability = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (0, stability, -int(match[1]), -int(match[3] or 0), "")


def _groups(kinds: Iterable[Kind]) -> dict[str, dict[str, list[Kind]]]:
    """Group -> version -> rows, in the order that clients prefer."""
    builtin: dict[str, dict[str, list[Kind]]] = {}
    custom: dict[str, dict[str, list[Kind]]] = {}
    for kind in kinds:
        groups = custom if kind.custom and kind.group not in builtin else builtin
        groups.setdefault(kind.group, {}).setdefault(kind.version, []).append(kind)
    for name, versions in custom.items():
        custom[name] = {version: versions[version] for version in sorted(versions, key=version_priority)}
    for name in sorted(custom, key=lambda name: (next(iter(custom[name])), name)):
        builtin[name] = custom[name]
    return builtin


def group_of(name: str, versions: Iterable[str]) -> Object:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


@functools.lru_cache(maxsize=4096)
def _resources(kind: Kind) -> Sequence[Object]:
    """A kind and its subresources, as APIResources."""
    own: Object = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        own["shortNames"] = list(kind.short_names)
    if kind.categories:
        own["categories"] = list(kind.categories)
    if kind.stored:
        own["storageVersionHash"] = storage_version_hash(kind)
    return (own, *(_subresource(kind, subresource) for subresource in kind.subresources))


def _subresource(kind: Kind, subresource: Subresource) -> Object:
    resource: Object = {
        "name": f"{kind.plural}/{subresource.name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": subresource.kind,
        "verbs": list(subresource.verbs),
    }
    if subresource.version:
        resource |= {"group": subresource.group, "version": subresource.version}
    return resource


def _discovered_version(version: str, rows: list[Kind]) -> Object:
    if not rows[0].custom:
        rows = sorted(rows, key=lambda kind: kind.plural)
    resources = [_discovered(kind) for kind in rows]
    return {"version": version, "resources": resources, "freshness": "Current"}


def _discovered(kind: Kind) -> Object:
    resource: Object = {
        "resource": kind.plural,
        "responseKind": {"group": "", "version": "", "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        resource["shortNames"] = list(kind.short_names)
    if kind.categories:
        resource["categories"] = list(kind.categories)
    if kind.subresources:
        resource["subresources"] = [
            {
                "subresource": each.name,
                "responseKind": {"group": each.group, "version": each.version, "kind": each.kind},
                "verbs": list(each.verbs),
            }
            for each in kind.subresources
        ]
    return resource
