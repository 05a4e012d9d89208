"""Sets of fields, in the very form in which `managedFields` shows them (FieldsV1), so that nothing is converted to store or read one.

A set is a nested dict. A key is a path element: `f:<name>` of a field, `k:<json>` of a list item by its keys, `v:<json>` of a set's member,
`i:<n>`. Its value is the set below it, where `.` says that the element itself belongs to the set; `{}` means the element alone. All
functions leave their arguments alone and may share parts with them (KEP-555; sigs.k8s.io/structured-merge-diff is the reference).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

FieldSet = dict[str, Any]
ITSELF = "."
_MEMBER: FieldSet = {ITSELF: {}}
_KINDS = "fkvi"


def _open(node: FieldSet) -> FieldSet:
    return node or _MEMBER


def _close(node: FieldSet) -> FieldSet:
    return {} if len(node) == 1 and ITSELF in node else node


def union(a: FieldSet, b: FieldSet) -> FieldSet:
    if not a or a is b:
        return b
    if not b:
        return a
    result = dict(a)
    for element, below in b.items():
        there = result.get(element)
        if there is None:
            result[element] = below
        elif element != ITSELF and there is not below:
            result[element] = _close(union(_open(there), _open(below)))
    return result


def difference(a: FieldSet, b: FieldSet) -> FieldSet:
    """What is in `a` and not in `b`; what lies below a member of `b` stays."""
    if not b:
        return a
    result: FieldSet = {}
    for element, below in a.items():
        there = b.get(element)
        if there is None:
            result[element] = below
        elif element != ITSELF:
            rest = difference(_open(below), _open(there))
            if rest:
                result[element] = _close(rest)
    return result


def without(a: FieldSet, b: FieldSet) -> FieldSet:
    """`a` without the members of `b` and everything below them."""
    result: FieldSet = {}
    for element, below in a.items():
        there = b.get(element)
        if there is None:
            result[element] = below
        elif element != ITSELF and there and ITSELF not in there:
            rest = without(_open(below), there)
            if rest:
                result[element] = _close(rest)
    return result


def intersection(a: FieldSet, b: FieldSet) -> FieldSet:
    result: FieldSet = {}
    for element, inner in a.items():
        there = b.get(element)
        if there is None:
            continue
        if element == ITSELF:
            result[ITSELF] = {}
            continue
        both = intersection(_open(inner), _open(there))
        if both:
            result[element] = _close(both)
    return result


def has(fields: FieldSet, *path: str) -> bool:
    node: FieldSet | None = fields
    for element in path:
        if node is None or element not in node:
            return False
        node = node[element]
    return node is not None and (not node or ITSELF in node)


def of_path(*path: str) -> FieldSet:
    node: FieldSet = {}
    for element in reversed(path):
        node = {element: node}
    return node


def paths(fields: FieldSet, prefix: str = "") -> Iterator[str]:
    """`.spec.containers[name="one"].image` of every member, those of one level first, in order."""
    elements = sorted((e for e in fields if e != ITSELF), key=_order)
    for element in elements:
        if not fields[element] or ITSELF in fields[element]:
            yield prefix + show(element)
    for element in elements:
        if fields[element]:
            yield from paths(fields[element], prefix + show(element))


def _order(element: str) -> tuple[int, list[tuple[str, bool, Any]] | str]:
    """Fields before keys before values before places; numbers, as values of keys, before texts."""
    kind, text = element[0], element[2:]
    if kind not in "kv":
        return _KINDS.index(kind), text
    value = orjson.loads(text)
    named = value.items() if isinstance(value, dict) else [("", value)]
    return _KINDS.index(kind), [
        (name, isinstance(part, str), part if isinstance(part, str | int | float) else str(part))
        for name, part in named
    ]


def show(element: str) -> str:
    kind, text = element[0], element[2:]
    if kind == "f":
        return f".{text}"
    if kind == "k":
        return "[" + ",".join(f"{k}={_shown(v)}" for k, v in orjson.loads(text).items()) + "]"
    return f"[={_shown(orjson.loads(text))}]" if kind == "v" else f"[{text}]"


def _shown(value: Any) -> str:
    return orjson.dumps(value).decode()


def is_valid(fields: Any) -> bool:
    """Whether a client's FieldsV1 is one."""
    if not isinstance(fields, dict):
        return False
    for element, inner in fields.items():
        if element == ITSELF:
            if inner != {}:
                return False
            continue
        if len(element) < 2 or element[0] not in _KINDS or element[1] != ":" or not is_valid(inner):
            return False
        if element[0] == "i" and not element[2:].lstrip("-").isdecimal():
            return False
        if element[0] in "kv":
            try:
                value = orjson.loads(element[2:])
            except orjson.JSONDecodeError:
                return False
            if element[0] == "k" and not isinstance(value, dict):
                return False
    return True
