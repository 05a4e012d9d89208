"""Values inside messages as Kubernetes' internal types show themselves.

Those have no JSON names: a field goes by its Go name, in the struct's order (which is that of the protobuf numbers), and is there when it is
empty. Types of meta/v1 (label selectors, times) are the same inside and outside.
"""

from __future__ import annotations

import re
from typing import Any

from ..fielderrors import InOrder
from ..schema import Field, Type, type_of

_FIRST_WORD = re.compile(r"[a-z]+")
_INITIALISMS = {"api", "cel", "cidr", "csi", "dns", "id", "ip", "tls", "uid", "url"}
_ZERO = {"string": "", "int32": 0, "int64": 0, "bool": False, "number": 0, "Quantity": "0", "IntOrString": 0}


def as_go(type_: Type | str, value: Any) -> Any:
    """`type_`: of the schema, or its name there (`policy.v1.PodDisruptionBudgetSpec`)."""
    if isinstance(type_, str):
        type_ = type_of(type_)
    if value is None or type_.name.startswith("meta."):
        return value
    if type_.kind == "list":
        return [as_go(type_.element, one) for one in value] or None
    if type_.kind == "map":
        return {key: as_go(type_.element, one) for key, one in value.items()} or None
    if type_.kind != "struct":
        return value
    fields = sorted(type_.fields.values(), key=lambda f: [int(n) for n in f.number.split(".")])
    made = InOrder()
    for field in fields:
        if field.name == "metadata":  # embedded: its members are the struct's own
            made |= value.get("metadata") or {}
        else:
            made[_go_name(field.name)] = _member(field, value.get(field.name))
    return made


def _member(field: Field, value: Any) -> Any:
    if value is None and field.presence != "k":
        return as_go(field.type, {}) if field.type.kind == "struct" else _ZERO.get(field.type.kind)
    return as_go(field.type, value)


def _go_name(name: str) -> str:
    first = _FIRST_WORD.match(name)
    if first and first[0] in _INITIALISMS:
        return first[0].upper() + name[first.end() :]
    return name[:1].upper() + name[1:]
