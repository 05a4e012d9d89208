"""A write as admission policies and webhooks see it: `request`, `object` and `oldObject`, in the version that a rule asks for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...api.crd.kinds import CustomKind
from ...api.kinds import KINDS, Kind
from ...api.object import Object
from ..conversion import from_storage

if TYPE_CHECKING:
    from ..registry.operation import Operation
    from . import Environment

_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


class Attributes:
    """Made once for a write that any policy or webhook may concern; what it shows follows the operation as that changes."""

    def __init__(self, op: Operation, env: Environment):
        self.op, self._env = op, env
        self.kind = op.requested or op.kind
        self.subresource, self.verb, self.namespace = (
            op.subresource,
            op.verb,
            op.namespace if op.kind.namespaced else "",
        )
        self._objects: dict[str, tuple[Object | None, Object | None]] = {}

    @property
    def name(self) -> str:
        if self.op.collection:
            return ""
        return self.op.name or str(((self.op.object or {}).get("metadata") or {}).get("name") or "")

    @property
    def shown_name(self) -> str:
        """In refusals."""
        return self.name or self.op.shown_name

    @cached_property
    def equivalents(self) -> list[Kind]:
        """The same resource in its other versions."""
        kind = self.kind
        if isinstance(kind, CustomKind):
            versions = [v["name"] for v in kind.definition.versions.values() if v.get("served")]
            return [
                sibling for v in versions if v != kind.version and (sibling := kind.sibling(v)) is not None
            ]
        stored = (kind.storage_group, kind.storage_version, kind.plural)
        return [k for k in KINDS if k != kind and (k.storage_group, k.storage_version, k.plural) == stored]

    @property
    def request_namespace(self) -> str:
        """A namespace is in itself."""
        return self.namespace or (self.name if self.kind.resource == "namespaces" else "")

    @cached_property
    def namespace_object(self) -> Object | None:
        """The namespace that the object is in, or is."""
        if self.kind.resource == "namespaces":
            return None
        return self._env.lister.get("namespaces", "", self.namespace) if self.namespace else None

    def objects(self, kind: Kind) -> tuple[Object | None, Object | None]:
        """(object, old object) as that version of the kind."""
        found = self._objects.get(kind.api_version)
        if found is None:
            new, old = (
                None if obj is None else self._shown(kind, obj) for obj in (self.op.object, self.op.old)
            )
            found = self._objects[kind.api_version] = (None if self.verb == "DELETE" else new, old)
        return found

    def changed(self) -> None:
        """The operation has another object now."""
        self._objects.clear()

    def _shown(self, kind: Kind, obj: Object) -> Object:
        if kind is not self.op.kind or not kind.custom:
            obj = from_storage(kind, obj)
        if self.subresource == "scale":
            from ..custom_resources import scale_of as scale_of_custom
            from ..subresources import scale_of

            return scale_of_custom(obj, kind)[0] if isinstance(kind, CustomKind) else scale_of(obj, kind)
        own = self.body_kind(kind)
        return obj if own is kind else {**obj, "apiVersion": own.api_version, "kind": own.kind}

    def body_kind(self, kind: Kind) -> Kind:
        """Of what is written: `Eviction`, `Scale`."""
        return kind.of_subresource(self.subresource) if kind.subresource(self.subresource) else kind

    def request(self, kind: Kind) -> Object:
        """`AdmissionRequest`, but for its uid and the objects."""
        user, op = self.op.user, self.op
        request: Object = {
            "kind": self._gvk(kind),
            "resource": _gvr(kind),
            "requestKind": self._gvk(self.kind),
            "requestResource": _gvr(self.kind),
            "operation": self.verb,
            "userInfo": {"username": user.name, "groups": list(user.groups)},
            "dryRun": op.dry_run,
            "options": self._options(),
        }
        if self.subresource:
            request["subResource"] = request["requestSubResource"] = self.subresource
        if self.name:
            request["name"] = self.name
        if self.request_namespace:
            request["namespace"] = self.request_namespace
        if user.uid:
            request["userInfo"]["uid"] = user.uid
        if user.extra:
            request["userInfo"]["extra"] = user.extra
        return request

    def _gvk(self, kind: Kind) -> Object:
        own = self.body_kind(kind)
        return {"group": own.group, "version": own.version, "kind": own.kind}

    def _options(self) -> Object | None:
        op = self.op
        if self.verb not in _OPTIONS:
            return None
        options: Object = {"kind": _OPTIONS[self.verb], "apiVersion": "meta.k8s.io/v1"}
        if op.dry_run:
            options["dryRun"] = ["All"]
        options |= {name: value for name, value in op.options.items() if value not in (None, "")}
        return options


def _gvr(kind: Kind) -> dict[str, Any]:
    return {"group": kind.group, "version": kind.version, "resource": kind.plural}
