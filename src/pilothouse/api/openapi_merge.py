"""One `/openapi/v2` document of several servers: ours, and those that are aggregated (kube-openapi/pkg/aggregator). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .object import Object

_PREFIX = "#/definitions/"
_GVK = "x-kubernetes-group-version-kind"


def merged(ours: Object, others: list[tuple[str, Object]]) -> Object:
    """`others`: for each the prefix of the paths that are taken from it. A path that is there already stays as it is; a definition
    of the same name with another content is taken under a name of its own."""
    paths, definitions = dict(ours.get("paths") or {}), dict(ours.get("definitions") or {})
    for prefix, document in others:
        taken = {p: item for p, item in (document.get("paths") or {}).items() if p.startswith(prefix)}
        taken = {p: item for p, item in taken.items() if p not in paths}
        theirs = _used(taken, document.get("definitions") or {})
        renames = {
            name: _free_name(name, definition, definitions, theirs)
            for name, definition in theirs.items()
            if name in definitions and not _same(definition, definitions[name])
        }
        paths |= _renamed(taken, renames)
        for name, definition in theirs.items():
            definitions.setdefault(renames.get(name, name), _renamed(definition, renames))
    return {**ours, "paths": paths, "definitions": dict(sorted(definitions.items()))}


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "$ref" and isinstance(each, str):
                yield each.removeprefix(_PREFIX)
            else:
                yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def _used(paths: Object, definitions: Object) -> Object:
    """Those that the paths refer to, and those that these refer to."""
    found: Object = {}
    wanted = list(_references(paths))
    while wanted:
        name = wanted.pop()
        if name in definitions and name not in found:
            found[name] = definitions[name]
            wanted += _references(definitions[name])
    return found


def _free_name(name: str, definition: Object, ours: Object, theirs: Object) -> str:
    number = 2
    while (new := f"{name}_v{number}") in theirs or (new in ours and not _same(definition, ours[new])):
        number += 1
    return new


def _same(a: Object, b: Object) -> bool:
    return {k: v for k, v in a.items() if k != _GVK} == {k: v for k, v in b.items() if k != _GVK}


def _renamed(value: Any, renames: dict[str, str]) -> Any:
    if not renames:
        return value
    if isinstance(value, dict):
        changed = {key: _renamed(each, renames) for key, each in value.items()}
        if isinstance(reference := changed.get("$ref"), str):
            name = reference.removeprefix(_PREFIX)
            changed["$ref"] = _PREFIX + renames[name] if name in renames else reference
        return changed
    if isinstance(value, list):
        return [_renamed(each, renames) for each in value]
    return value
