"""An object that came in, into the shape of its schema: defaults, fields that are not in it, nulls, metadata; all in place.

Order as in Kubernetes: defaults first, then pruning, then nulls that nothing allows; metadata (the object's own and that of embedded
resources) is read as the typed ObjectMeta that it is.
"""

from __future__ import annotations

from typing import Any

from ..decode_values import WrongValue, normalize
from ..fielderrors import shown
from ..object import Object
from ..schema import type_of
from .schema import META_FIELDS, Node

_INT64 = 2**63
_FLOAT_AS_INTEGER = 2.0**64  # beyond, Go's digits are more than our JSON writer's integers have


class BadMetadata(ValueError):
    """Metadata that is not an ObjectMeta; the message is the decoder's."""


def shape(obj: Object, schema: Node | None) -> list[str]:
    """Everything, for an object from a client. The unknown fields, as strict decoding names them."""
    plain_numbers(obj)
    unknown: list[str] = []
    metadata = object_meta(obj, "", unknown)
    if schema is not None:
        apply_defaults(obj, schema)
    unknown += prune(obj, schema)
    if schema is not None:
        drop_nulls(obj, schema)
        _coerce_embedded(obj, schema, "", unknown)
    if metadata is not None:
        obj["metadata"] = metadata
    return unknown


def shape_stored(obj: Object, schema: Node | None, *, defaults: bool) -> None:
    """What the store holds, as today's schema of a version has it. `obj` is ours to change."""
    if schema is not None:
        prune(obj, schema)
        drop_nulls(obj, schema)
        if defaults:
            apply_defaults(obj, schema)


def plain_numbers(value: Any) -> Any:
    """Numbers as they are after a trip through Go's JSON: 2.0 is 2, integers beyond 64 bits are floats."""
    if type(value) is dict:
        for key, inner in value.items():
            kind = type(inner)
            if kind is dict or kind is list:
                plain_numbers(inner)
            elif kind is float or kind is int:
                value[key] = _plain(inner)
    elif type(value) is list:
        for index, inner in enumerate(value):
            kind = type(inner)
            if kind is dict or kind is list:
                plain_numbers(inner)
            elif kind is float or kind is int:
                value[index] = _plain(inner)
    return value


def _plain(number: int | float) -> int | float:
    if isinstance(number, int):
        return number if -_INT64 <= number < _INT64 else _plain(float(number))
    if number.is_integer() and abs(number) < _FLOAT_AS_INTEGER:
        digits = repr(number)  # the shortest that reads back as the same: Go pads it with zeros
        return (
            int(number)
            if "e" not in digits
            else int(digits.partition("e")[0].replace(".", "").ljust(int(digits.partition("e+")[2]) + 1, "0"))
        )
    return number


# -- defaults ----------------------------------------------------------------------------------------------------------


def copied(value: Any) -> Any:
    if type(value) is dict:
        return {key: copied(inner) for key, inner in value.items()}
    return [copied(inner) for inner in value] if type(value) is list else value


def apply_defaults(value: Any, node: Node) -> None:
    if not node.has_defaults:
        return
    if type(value) is dict:
        for name, inner in node.properties.items():
            if inner.default is not None and (
                name not in value or (value[name] is None and not inner.nullable)
            ):
                value[name] = copied(inner.default)
        extra = node.additional_node
        for name in value:
            known = node.properties.get(name)
            if known is not None:
                apply_defaults(value[name], known)
            elif extra is not None:
                if value[name] is None and not extra.nullable:
                    value[name] = copied(extra.default)
                apply_defaults(value[name], extra)
    elif type(value) is list and node.items is not None:
        for index, inner_value in enumerate(value):
            if inner_value is None and not node.items.nullable:
                value[index] = copied(node.items.default)
            apply_defaults(value[index], node.items)


def drop_nulls(value: Any, node: Node | None) -> None:
    """Nulls where the schema wants a value and has no default for it."""
    if type(value) is dict:
        for name in list(value):
            inner = value[name]
            schema = None
            if node is not None:
                schema = node.properties.get(name) or node.additional_node
            if inner is None:
                if schema is not None and not schema.nullable and schema.default is None:
                    del value[name]
            elif type(inner) is dict or type(inner) is list:
                drop_nulls(inner, schema)
    elif type(value) is list:
        for inner in value:
            if type(inner) is dict or type(inner) is list:
                drop_nulls(inner, None if node is None else node.items)


# -- pruning -----------------------------------------------------------------------------------------------------------


def prune(obj: Object, schema: Node | None) -> list[str]:
    """Drops what the schema of a whole resource does not have (none at all: everything). The paths of what was dropped, sorted."""
    unknown: list[str] = []
    if schema is not None and schema.preserve:
        _skip(obj, schema, "", unknown, root=True)
    else:
        _prune(obj, schema, "", unknown, root=True)
    return sorted(unknown)


def prune_value(value: Any, node: Node) -> list[str]:
    """Of a part of a resource: a default."""
    unknown: list[str] = []
    _prune(value, node, "", unknown)
    return unknown


def _prune(value: Any, node: Node | None, path: str, unknown: list[str], *, root: bool = False) -> None:
    if node is not None and node.preserve:
        _skip(value, node, path, unknown, root=root)
    elif type(value) is dict:
        resource = root or (node is not None and node.embedded)
        properties = {} if node is None else node.properties
        for name in list(value):
            if resource and name in META_FIELDS:
                continue
            inner = properties.get(name)
            if inner is not None:
                _prune(value[name], inner, f"{path}.{name}" if path else name, unknown)
            elif node is not None and node.additional is not None:
                _prune(value[name], node.additional_node, f"{path}.{name}" if path else name, unknown)
            else:
                unknown.append(f"{path}.{name}" if path else name)
                del value[name]
    elif type(value) is list:
        items = None if node is None else node.items
        for index, inner_value in enumerate(value):
            _prune(inner_value, items, f"{path}[{index}]", unknown)


def _skip(value: Any, node: Node | None, path: str, unknown: list[str], *, root: bool = False) -> None:
    """Below x-kubernetes-preserve-unknown-fields: only what the schema does say is pruned."""
    if node is None:
        return
    if type(value) is dict:
        for name, inner in value.items():
            if (root or node.embedded) and name in META_FIELDS:
                continue
            below = f"{path}.{name}" if path else name
            if name in node.properties:
                _prune(inner, node.properties[name], below, unknown)
            elif node.additional is not None:
                _prune(inner, node.additional_node, below, unknown)
    elif type(value) is list:
        for index, inner in enumerate(value):
            _skip(inner, node.items, f"{path}[{index}]", unknown)


# -- metadata ----------------------------------------------------------------------------------------------------------


def object_meta(obj: Object, path: str, unknown: list[str]) -> Object | None:
    """The metadata of a resource as an ObjectMeta. Raises BadMetadata."""
    if "metadata" not in obj:
        return None
    try:
        metadata, problems = normalize(type_of("meta.v1.ObjectMeta"), obj["metadata"])
    except WrongValue as error:
        raise BadMetadata(str(error)) from None
    prefix = f"{path}.metadata" if path else "metadata"
    unknown += [f"{prefix}.{problem.partition(chr(34))[2][:-1]}" for problem in problems]
    if not metadata.get("creationTimestamp"):
        metadata.pop("creationTimestamp", None)
    return metadata


def _coerce_embedded(value: Any, node: Node | None, path: str, unknown: list[str]) -> None:
    if node is None:
        return
    if type(value) is dict:
        if node.embedded:
            for name in ("apiVersion", "kind"):
                if name in value and type(value[name]) is not str:
                    raise BadMetadata(f"{path}.{name}: Invalid value: {shown(value[name])}: must be a string")
            try:
                metadata = object_meta(value, path, unknown)
            except BadMetadata as error:
                given = shown(value["metadata"])
                raise BadMetadata(f"{path}.metadata: Invalid value: {given}: {error}") from None
            if metadata is not None:
                value["metadata"] = metadata
        for name, inner in value.items():
            if type(inner) is dict or type(inner) is list:
                below = node.properties.get(name) or node.additional_node
                _coerce_embedded(inner, below, f"{path}.{name}" if path else name, unknown)
    elif type(value) is list:
        for index, inner in enumerate(value):
            _coerce_embedded(inner, node.items, f"{path}[{index}]", unknown)
