"""The types of CEL expressions. Two are equal if they are called the same and have the same parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Type:
    """`name`: int, list, map, type, optional_type, …, or the name of an object type, which has `fields`. `param`: a type parameter."""

    name: str
    params: tuple[Type, ...] = ()
    fields: Mapping[str, Field] | None = field(default=None, compare=False, repr=False)
    """Of an object, by the name that expressions use."""
    param: bool = False
    open: bool = field(default=False, compare=False)
    """An object whose other fields are `dyn`."""

    def __str__(self) -> str:
        if self.params:
            return f"{self.name}({', '.join(map(str, self.params))})"
        return self.name


@dataclass(frozen=True, slots=True)
class Field:
    type: Type
    key: str
    """In the JSON object: `x-y` where expressions say `x__dash__y`."""


BOOL, INT, UINT, DOUBLE, STRING, BYTES = map(Type, ("bool", "int", "uint", "double", "string", "bytes"))
NULL, DYN, ERROR = Type("null"), Type("dyn"), Type("!error!")
TIMESTAMP, DURATION = Type("timestamp"), Type("duration")
NULLABLE = ("timestamp", "duration", "optional_type")


def list_of(element: Type) -> Type:
    return Type("list", (element,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", (key, value))


def optional_of(type_: Type) -> Type:
    return Type("optional_type", (type_,))


def type_of(type_: Type) -> Type:
    return Type("type", (type_,))


def opaque(name: str) -> Type:
    return Type(name, fields={})


RESERVED = frozenset(
    """true false null in as break const continue else for function if import let loop package namespace return var void while""".split()
)


def escape(name: str) -> str | None:
    """A JSON name as a CEL identifier (apiserver/pkg/cel/escaping.go); None where there is none."""
    if not name or not (name[0].isascii() and (name[0].isalpha() or name[0] == "_")):
        return None
    if not all(char.isascii() and (char.isalnum() or char in "_.-/") for char in name):
        return None
    if name in RESERVED:
        return f"__{name}__"
    name = name.replace("__", "__underscores__")
    for char, word in ((".", "dot"), ("-", "dash"), ("/", "slash")):
        name = name.replace(char, f"__{word}__")
    return name
