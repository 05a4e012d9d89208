"""managedFields of a write under way: whose it is, which fields its door lets through, and how the kind's versions merge.

What is in `api/managed_fields.py` is pure and knows no kinds; this is what it needs to know of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import orjson

from ...api.apply import apply
from ...api.crd.kinds import CustomKind
from ...api.fieldset import FieldSet
from ...api.kinds import Kind, find_gvk
from ...api.managed_fields import Request, from_scale, set_entries, to_scale, update
from ...api.merge_types import DEDUCED, Shape, shape_of_kind, shape_of_openapi
from ...api.object import Object
from ...api.schema import has_schema
from ..conversion import from_storage, to_storage

if TYPE_CHECKING:
    from .operation import Operation

MANAGER_BYTES_MAX = 128
_STATUS: FieldSet = {"f:status": {}}
_SPEC: FieldSet = {"f:spec": {}}
_SPEC_AND_METADATA: FieldSet = {**_SPEC, "f:metadata": {}}

RESET: dict[tuple[str, str], FieldSet] = {
    ("pods", "status"): {**_SPEC, "f:metadata": {"f:deletionTimestamp": {}, "f:ownerReferences": {}}},
    ("deployments.apps", "status"): {**_SPEC, "f:metadata": {"f:labels": {}}},
    ("customresourcedefinitions.apiextensions.k8s.io", "status"): _SPEC_AND_METADATA,
    ("apiservices.apiregistration.k8s.io", "status"): _SPEC_AND_METADATA,
    ("resourceclaims.resource.k8s.io", "status"): _SPEC_AND_METADATA,
    ("servicecidrs.networking.k8s.io", "status"): _SPEC_AND_METADATA,
    ("flowschemas.flowcontrol.apiserver.k8s.io", "status"): _SPEC_AND_METADATA,
    ("prioritylevelconfigurations.flowcontrol.apiserver.k8s.io", "status"): _SPEC_AND_METADATA,
    ("validatingadmissionpolicies.admissionregistration.k8s.io", "status"): _SPEC_AND_METADATA,
    ("volumeattachments.storage.k8s.io", "status"): _SPEC_AND_METADATA,
}
"""What a write through (resource, subresource) does not change, where it is not just the spec of a status and the status of the rest."""


class KindVersions:
    """`managed_fields.Versions` of one kind."""

    def __init__(self, kind: Kind):
        self._kind, self._stored = kind, kind.storage
        self._known: dict[str, tuple[Kind, Shape] | None] = {kind.api_version: (kind, _shape(kind))}

    def _version(self, api_version: str) -> tuple[Kind, Shape] | None:
        if api_version not in self._known:
            group, _, version = api_version.rpartition("/")
            kind: Kind | None
            if isinstance(self._kind, CustomKind):
                kind = self._kind.sibling(version) if group == self._kind.group else None
                known = kind is not None
            else:
                kind = find_gvk(group, version, self._kind.kind)
                known = kind is not None and kind.storage is self._stored
            self._known[api_version] = (kind, _shape(kind)) if known and kind is not None else None
        return self._known[api_version]

    def shape(self, api_version: str) -> Shape | None:
        version = self._known.get(api_version) or self._version(api_version)
        return None if version is None else version[1]

    def convert(self, obj: Object, api_version: str) -> Object:
        given = obj.get("apiVersion")
        if given == api_version:
            return obj
        origin, target = self._version(given or api_version), self._version(api_version)
        if origin is None or target is None:
            return obj
        return from_storage(target[0], to_storage(origin[0], {**obj, "metadata": obj.get("metadata") or {}}))


def _shape(kind: Kind) -> Shape:
    if isinstance(kind, CustomKind):
        return shape_of_openapi(kind.node.raw)
    known = has_schema(kind.group, kind.version, kind.kind)
    return shape_of_kind(kind.group, kind.version, kind.kind) if known else DEDUCED


@lru_cache(maxsize=1024)
def versions_of(kind: Kind) -> KindVersions:
    return KindVersions(kind)


@lru_cache(maxsize=1024)
def reset(kind: Kind, subresource: str) -> FieldSet | None:
    """What a write there does not change, and so does not own. (Ephemeral containers and resizes own even what they do not change.)"""
    if subresource in ("resize", "ephemeralcontainers"):
        return None
    if subresource == "status" and kind.custom:
        return _SPEC_AND_METADATA
    if subresource in ("status", "approval"):
        return RESET.get((kind.resource, subresource), _SPEC)
    return _STATUS if kind.subresource("status") else None


def request_of(op: Operation, now: str) -> Request:
    requested = op.requested or op.kind
    return Request(
        op.field_manager or "kube-apiserver",
        requested.api_version,
        op.subresource,
        now,
        reset(op.kind, op.subresource),
    )


def own(op: Operation, old: Object | None, new: Object, now: str) -> None:
    """Writes into the new object who owns what after this create or update. Before admission: what that changes belongs to nobody."""
    if len(new["metadata"].get("ownerReferences") or ()) > 1:
        _without_doubles(op, new["metadata"])
    if not op.applied:
        set_entries(new, update(old, new, versions_of(op.requested or op.kind), request_of(op, now)))


def _without_doubles(op: Operation, meta: Object) -> None:
    """Equal ownerReferences become one, with a warning."""
    kept: dict[bytes, Object] = {}
    doubled = []
    for reference in meta["ownerReferences"]:
        said = orjson.dumps(reference, option=orjson.OPT_SORT_KEYS)
        if said in kept:
            doubled.append(reference.get("uid", ""))
        kept.setdefault(said, reference)
    if not doubled:
        return
    meta["ownerReferences"] = list(kept.values())
    when = " after mutating admission happens" if op.patch else ""
    op.warn(
        f".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and may reject such "
        f"requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {', '.join(doubled)}"
    )


@dataclass(frozen=True, slots=True)
class ScaleWrite:
    """A write to the scale of an object: whoever changes the replicas there owns them in the object."""

    scale_kind: Kind
    api_version: str  # of the object, as it was asked for
    paths: Mapping[str, tuple[str, ...]]  # by the object's version, where its replicas are
    whose: Request
    force: bool | None = None  # of an apply; None: it is none

    def made(
        self, old: Object, live: Object, make: Callable[[Object], Object]
    ) -> tuple[Object, list[Object]]:
        """(the new scale, the owners of the object's fields), from the object, its scale, and what makes a new scale of that."""
        owners, scale = old["metadata"].get("managedFields"), make(live)
        versions = versions_of(self.scale_kind)
        shown = {**live, "metadata": {**live["metadata"], "managedFields": to_scale(owners, self.paths)}}
        if self.force is None:
            entries = update(shown, {"metadata": {}, **scale}, versions, self.whose)
        else:
            kind = self.scale_kind.kind
            applied, entries = apply(shown, scale, versions, self.whose, kind, force=self.force, exists=True)
            scale = live if applied is None else applied
        return scale, from_scale(owners, entries, self.paths, self.api_version)


@lru_cache(maxsize=1024)
def manager_of_agent(user_agent: str) -> str:
    """A client's name, up to the first slash: its manager unless it says otherwise."""
    name = "".join(c for c in user_agent.partition("/")[0] if c.isprintable())
    return name.encode()[:MANAGER_BYTES_MAX].decode(errors="ignore")


def same_but_for_times(new: Object, old: Object) -> bool:
    """Whether only the times in managedFields differ: then nothing is written."""
    entries, before = new["metadata"].get("managedFields"), old["metadata"].get("managedFields")
    if not entries or not before or len(entries) != len(before) or entries == before:
        return False
    for entry, was in zip(entries, before, strict=True):
        if entry is not was and {**entry, "time": ""} != {**was, "time": ""}:
            return False
    return {**new, "metadata": {**new["metadata"], "managedFields": before}} == old
