"""How each part of an object merges: what is a leaf, what merges by key, what as a set, what as a whole.

`Shape`s are made from the schema table (built-in kinds) or from a CustomResourceDefinition's OpenAPI schema, each once. Without a schema
everything is `DEDUCED`: maps merge, lists are leaves. (`x-kubernetes-list-type`, `-list-map-keys`, `-map-type`; KEP-555.)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

from .object import Object
from .schema import Field, Type, schema_of

MAP, LIST, LEAF, ANY = "map", "list", "leaf", "any"
_SCALARS = {"string": "string", "bytes": "string", "Time": "string", "MicroTime": "string", "bool": "boolean"}
_NUMBERS = {"int32": "numeric", "int64": "numeric", "number": "numeric"}
_DEFAULTS = {("protocol"): "TCP"}  # of list keys: the only one that the built-in types have


class Shape:
    """`kind` MAP has `fields` (of a struct), `element` (of a map's values) or both; LIST has an `element`; ANY is whatever the value is."""

    def __init__(
        self,
        kind: str,
        *,
        atomic: bool = False,
        fields: Callable[[], dict[str, Shape]] | None = None,
        element: Callable[[], Shape] | None = None,
        keys: tuple[str, ...] = (),
        scalar: str = "untyped",
        always: Callable[[], Object] | None = None,
        defaults: Callable[[], Object] | None = None,
    ):
        self.kind, self.atomic, self.keys, self.scalar = kind, atomic, keys, scalar
        self._fields, self._element, self._always, self._defaults = fields, element, always, defaults

    @cached_property
    def fields(self) -> dict[str, Shape]:
        return self._fields() if self._fields is not None else {}

    @cached_property
    def element(self) -> Shape | None:
        """None for a struct: other members than its fields are an error."""
        return self._element() if self._element is not None else None

    @cached_property
    def always(self) -> Object:
        """The members that a struct shows even when they are empty, as they are then."""
        return self._always() if self._always is not None else {}

    @cached_property
    def defaults(self) -> Object:
        """What a list's keys are when an item leaves them out."""
        return self._defaults() if self._defaults is not None else {}

    @cached_property
    def members(self) -> dict[str, tuple[str, Shape, bool]]:
        """Of a struct's fields: (path element, shape, whether it is a leaf)."""
        return {
            name: (f"f:{name}", shape, shape.atomic or shape.kind == LEAF)
            for name, shape in self.fields.items()
        }

    def of(self, name: str) -> Shape | None:
        return self.fields.get(name) or self.element


DEDUCED = Shape(ANY)
DEDUCED._element = lambda: DEDUCED
_DEDUCED_LIST = Shape(LIST, atomic=True, element=lambda: DEDUCED)
_DEDUCED_MAP = Shape(MAP, element=lambda: DEDUCED)
_DEDUCED_LEAF = Shape(LEAF)


def resolved(shape: Shape, value: Any) -> Shape:
    """Of ANY, what the value makes of it."""
    if shape.kind != ANY:
        return shape
    if isinstance(value, dict):
        return _DEDUCED_MAP
    return _DEDUCED_LIST if isinstance(value, list) else _DEDUCED_LEAF


@cache
def shape_of_kind(group: str, version: str, kind: str) -> Shape:
    """KeyError for a kind that is not built in."""
    return _of_type(schema_of(group, version, kind), "", (), "")


@cache
def _of_type(type_: Type, list_type: str, keys: tuple[str, ...], map_type: str) -> Shape:
    if type_.kind == "struct":
        return Shape(
            MAP,
            atomic=(map_type or type_.map_type) == "atomic",
            fields=lambda: {name: _of_field(field) for name, field in type_.fields.items()},
            always=lambda: _always(type_),
        )
    if type_.kind == "map":
        return Shape(MAP, atomic=map_type == "atomic", element=lambda: _of_type(type_.element, "", (), ""))
    if type_.kind == "list":
        return Shape(
            LIST,
            atomic=list_type not in ("map", "set"),
            keys=keys,
            element=lambda: _of_type(type_.element, "", (), ""),
            defaults=lambda: {key: value for key in keys if (value := _key_default(type_, key)) is not None},
        )
    if type_.kind == "any":  # a RawExtension: a whole
        return _DEDUCED_LEAF
    if type_.kind in ("SchemaOrArray", "SchemaOrBool", "SchemaOrStrings"):
        return DEDUCED
    return Shape(LEAF, scalar=_SCALARS.get(type_.kind) or _NUMBERS.get(type_.kind) or "untyped")


def _of_field(field: Field) -> Shape:
    return _of_type(field.type, field.list_type, field.list_map_keys, field.map_type)


def _always(type_: Type) -> Object:
    always, _ = type_.completion
    return {name: {} if isinstance(zero, Type) else zero for name, zero in always}


def _key_default(list_type: Type, key: str) -> Any:
    field = list_type.element.fields.get(key)
    if field is None:
        return None
    if key in _DEFAULTS:
        return _DEFAULTS[key]
    if field.presence == "a":
        return 0 if field.type.kind in _NUMBERS else ""
    return "" if list_type.element.name == "core.v1.LocalObjectReference" else None


def shape_of_openapi(schema: Object, *, root: bool = True) -> Shape:
    """From a CustomResourceDefinition's `openAPIV3Schema`."""
    if not root and schema.get("x-kubernetes-embedded-resource"):
        root = True
    properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
    free = schema.get("x-kubernetes-preserve-unknown-fields") or additional is True
    if schema.get("x-kubernetes-int-or-string"):
        return _DEDUCED_LEAF
    match schema.get("type"):
        case "object":
            atomic = schema.get("x-kubernetes-map-type") == "atomic"
            if not properties and not isinstance(additional, dict) and not root:
                return Shape(MAP, atomic=atomic, element=lambda: DEDUCED)

            def fields() -> dict[str, Shape]:
                made = {name: shape_of_openapi(inner, root=False) for name, inner in properties.items()}
                return {**made, **_root_fields()} if root else made

            element: Callable[[], Shape] | None = None
            if isinstance(additional, dict):
                element = lambda: shape_of_openapi(additional, root=False)  # noqa: E731
            elif free or (root and not properties):
                element = lambda: DEDUCED  # noqa: E731
            return Shape(MAP, atomic=atomic, fields=fields, element=element)
        case "array":
            items = schema.get("items") or {}
            keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
            members = items.get("properties") or {}
            return Shape(
                LIST,
                atomic=schema.get("x-kubernetes-list-type") not in ("map", "set"),
                keys=keys,
                element=lambda: shape_of_openapi(items, root=False),
                defaults=lambda: {
                    k: members[k]["default"] for k in keys if "default" in (members.get(k) or {})
                },
            )
        case "string" | "boolean" as scalar:
            return Shape(LEAF, scalar=scalar)
        case "integer" | "number":
            return Shape(LEAF, scalar="numeric")
    return DEDUCED


@cache
def _root_fields() -> dict[str, Shape]:
    """What every object has, whatever its definition says of it."""
    meta = shape_of_kind("", "v1", "ConfigMap").fields
    return {name: meta[name] for name in ("apiVersion", "kind", "metadata")}
