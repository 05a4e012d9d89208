"""What mutating policies and webhooks do to the object of a write: JSON patches in Go's words, the object in its shape again, reinvocation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...api.crd.kinds import CustomKind
from ...api.crd.shaping import BadMetadata, copied
from ...api.decode_values import WrongValue, normalize
from ...api.defaults import apply_defaults
from ...api.errors import internal_error
from ...api.kinds import Kind
from ...api.object import Object
from ...api.schema import has_schema, schema_of
from ..conversion import to_storage

if TYPE_CHECKING:
    from ..registry.operation import Operation


class MutationError(Exception):
    """A mutation that cannot be carried out."""


def check_fields(kind: Kind, obj: Object) -> None:
    """Raises 500 for fields that the type does not have, whatever the failure policy."""
    if not isinstance(kind, CustomKind) and has_schema(kind.group, kind.version, kind.kind):
        try:
            problems = normalize(schema_of(kind.group, kind.version, kind.kind), obj)[1]
        except WrongValue as error:
            raise internal_error(str(error)) from None
        if problems:
            raise internal_error(f"strict decoding error: {', '.join(problems)}")


def replace_object(op: Operation, kind: Kind, new: Object) -> None:
    """The object of the write is `new` (of version `kind`) from now on: typed, with defaults, in place, since others hold on to it."""
    assert op.object is not None
    if op.subresource == "scale":
        _replace_replicas(op, new)
        return
    if op.subresource and kind.subresource(op.subresource):
        kind = kind.of_subresource(op.subresource)  # an Eviction, a Binding
    if isinstance(kind, CustomKind):
        new = copied(new)
        try:
            kind.incoming(new)
        except BadMetadata as error:
            raise MutationError(str(error)) from None
        if kind is not op.kind and isinstance(op.kind, CustomKind):
            new = op.kind.from_stored(new)
    else:
        if has_schema(kind.group, kind.version, kind.kind):
            try:
                new = normalize(schema_of(kind.group, kind.version, kind.kind), new)[0]
            except WrongValue as error:
                raise MutationError(str(error)) from None
        new["apiVersion"], new["kind"] = kind.api_version, kind.kind
        new = to_storage(kind, new)
        apply_defaults(kind.storage, new)
    metadata = op.object["metadata"]
    kept = {name: metadata[name] for name in ("managedFields",) if name in metadata}
    metadata.clear()
    metadata.update({**(new.get("metadata") or {}), **kept})
    op.object.clear()
    op.object.update({**new, "metadata": metadata})


def _replace_replicas(op: Operation, scale: Object) -> None:
    path = (
        (op.kind.scale or {}).get("specReplicasPath", "")
        if isinstance(op.kind, CustomKind)
        else ".spec.replicas"
    )
    *parents, last = path.removeprefix(".").split(".")
    place: Any = op.object
    for name in parents:
        place[name] = place = dict(place.get(name) or {})
    place[last] = (scale.get("spec") or {}).get("replicas") or 0
