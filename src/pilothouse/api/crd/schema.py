"""A structural schema as a tree of nodes: parsed once, walked by everything that shapes or checks custom objects.

A `Node` is one JSONSchemaProps with its fields as attributes. `openapi` gives the same in the form that is published, `schema_type` in the
form that server-side apply works on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..object import Object

_BOUNDS = (
    "maximum", "minimum", "multipleOf", "maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties",
)  # fmt: skip
META_FIELDS = ("apiVersion", "kind", "metadata")


class Node:
    """One schema. `bounds` holds those of the numeric bounds that are set; `junctors` whether any of allOf, … is."""

    __slots__ = (
        "additional", "all_of", "any_of", "bounds", "default", "embedded", "enum", "exclusive_maximum", "exclusive_minimum",
        "format", "has_defaults", "int_or_string", "items", "junctors", "list_type", "map_keys", "map_type", "negated", "nullable",
        "one_of", "pattern", "preserve", "properties", "raw", "required", "rules", "type", "types", "unique",
    )  # fmt: skip

    def __init__(self, schema: Object, *, loose: bool = False):
        """`loose`: as defaults are checked, where an integer or a string may be anything."""
        self.raw = schema
        self.type: str = schema.get("type") or ""
        self.nullable = bool(schema.get("nullable"))
        self.default = schema.get("default")
        self.preserve = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
        self.embedded = bool(schema.get("x-kubernetes-embedded-resource"))
        self.int_or_string = bool(schema.get("x-kubernetes-int-or-string"))
        self.list_type: str = schema.get("x-kubernetes-list-type") or ""
        self.map_keys: tuple[str, ...] = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        self.map_type: str = schema.get("x-kubernetes-map-type") or ""
        self.rules: list[Object] = schema.get("x-kubernetes-validations") or []
        self.types: tuple[str, ...] = (
            ("integer", "string") * (not loose) if self.int_or_string else (self.type,) * bool(self.type)
        )
        self.format = effective_format(schema.get("format") or "", self.types)
        self.enum: list[Any] = schema.get("enum") or []
        self.pattern: str = schema.get("pattern") or ""
        self.required: list[str] = schema.get("required") or []
        self.bounds = {name: schema[name] for name in _BOUNDS if schema.get(name) is not None}
        self.exclusive_maximum = bool(schema.get("exclusiveMaximum"))
        self.exclusive_minimum = bool(schema.get("exclusiveMinimum"))
        self.unique = bool(schema.get("uniqueItems"))
        self.properties = {
            name: Node(inner, loose=loose) for name, inner in (schema.get("properties") or {}).items()
        }
        items, additional = schema.get("items"), schema.get("additionalProperties")
        self.items = Node(items, loose=loose) if isinstance(items, dict) else None
        self.additional: Node | bool | None = (
            Node(additional, loose=loose) if isinstance(additional, dict) else additional
        )
        self.all_of = [Node(inner, loose=loose) for inner in schema.get("allOf") or ()]
        self.any_of = [Node(inner, loose=loose) for inner in schema.get("anyOf") or ()]
        self.one_of = [Node(inner, loose=loose) for inner in schema.get("oneOf") or ()]
        self.negated = Node(schema["not"], loose=loose) if schema.get("not") is not None else None
        self.junctors = bool(self.all_of or self.any_of or self.one_of or self.negated)
        self.has_defaults: bool = self.default is not None or any(
            inner.has_defaults for inner in self.children()
        )

    def children(self) -> Iterator[Node]:
        """Along the structure: properties, additional properties, items."""
        yield from self.properties.values()
        if isinstance(self.additional, Node):
            yield self.additional
        if self.items is not None:
            yield self.items

    def any(self, test: Callable[[Node], bool]) -> bool:
        return test(self) or any(inner.any(test) for inner in self.children())

    @property
    def additional_node(self) -> Node | None:
        return self.additional if isinstance(self.additional, Node) else None


STRING_FORMATS = frozenset(
    """bsonobjectid uri email hostname ipv4 ipv6 cidr mac uuid uuid3 uuid4 uuid5 isbn isbn10 isbn13 creditcard ssn hexcolor rgbcolor byte
    password date duration datetime k8s-short-name k8s-long-name""".split()
)
_FORMATS = {"integer": frozenset({"int32", "int64"}), "number": frozenset({"float", "double"})}


def effective_format(text: str, types: tuple[str, ...]) -> str:
    """A format counts only where its type has it; go-openapi knows string formats without dashes."""
    type_ = types[0] if len(types) == 1 else ""
    if type_ in ("", "string"):
        known = text in STRING_FORMATS or text.replace("-", "") in STRING_FORMATS
        return text if known else ""
    return text if text in _FORMATS.get(type_, ()) else ""
