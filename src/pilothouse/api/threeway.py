"""The three-way strategic merge patch of `kubectl apply`: what was applied last, what is applied now, what is there.

Keys that the manifest had last time and has no more are removed; what the manifest says is set; everything else
belongs to somebody else and stays. The result is a strategic merge patch for the server (kubectl's
CreateThreeWayMergePatch). For custom resources, which have no merge keys, the same walk makes a JSON merge patch.
"""

from __future__ import annotations

from typing import Any

from .object import Object
from .schema import Field, Type


def three_way_patch(original: Object, modified: Object, current: Object, type_: Type | None) -> Object:
    """{} when there is nothing to do. `type_` None: a JSON merge patch."""
    return _maps(original, modified, current, type_)


def _field(type_: Type | None, key: str) -> Field | None:
    return type_.fields.get(key) if type_ is not None else None


def _maps(original: Object, modified: Object, current: Object, type_: Type | None) -> Object:
    patch: Object = {}
    for key, value in modified.items():
        field = _field(type_, key)
        there, before = current.get(key), original.get(key)
        if value is None:
            if there is not None or (type_ is not None and key not in current):
                patch[key] = None
        elif isinstance(value, dict) and isinstance(there, dict):
            inner = _maps(
                before if isinstance(before, dict) else {}, value, there, field.type if field else None
            )
            if inner:
                patch[key] = inner
        elif isinstance(value, list) and isinstance(there, list):
            patch.update(_lists(key, before if isinstance(before, list) else [], value, there, field))
        elif value != there:
            patch[key] = value
    for key in original:
        if key not in modified:
            patch[key] = None
    return patch


def _lists(
    key: str, original: list[Any], modified: list[Any], current: list[Any], field: Field | None
) -> Object:
    if field is None or "merge" not in field.patch_strategy.split(","):
        return {key: modified} if modified != current else {}
    if not field.merge_key:  # a set of scalars
        gone = [item for item in original if item not in modified and item in current]
        come = [item for item in modified if item not in current]
        patch: Object = {key: come} if come else {}
        if gone:
            patch[f"$deleteFromPrimitiveList/{key}"] = gone
        if current and (gone or sorted(current, key=str) != modified):
            patch[f"$setElementOrder/{key}"] = modified
        return patch
    name = field.merge_key
    if any(not isinstance(item, dict) or name not in item for item in (*modified, *current)):
        return {key: modified} if modified != current else {}
    there = {item[name]: item for item in current}
    before = {item[name]: item for item in original if isinstance(item, dict) and name in item}
    changes: list[Object] = []
    for item in modified:
        if item[name] not in there:
            changes.append(item)
        elif inner := _maps(before.get(item[name], {}), item, there[item[name]], field.type.element):
            changes.append({name: item[name], **inner})
    wanted = {item[name] for item in modified}
    changes += [{"$patch": "delete", name: value} for value in before if value not in wanted]
    order = [{name: item[name]} for item in modified]
    if not changes and order == [{name: item[name]} for item in current]:
        return {}
    patch = {key: changes} if changes else {}
    return patch if not current else {f"$setElementOrder/{key}": order, **patch}
