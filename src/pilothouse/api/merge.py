"""The walks behind server-side apply, each over one or two values beside their `Shape`: check, own, compare, merge, remove.

Pure, and the rules are those of sigs.k8s.io/structured-merge-diff. Absent (`ABSENT`) is not null: null is a value that fits every shape.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from .fieldset import ITSELF, FieldSet
from .merge_types import ANY, LEAF, LIST, MAP, Shape, resolved
from .object import Object

ABSENT: Final[Any] = type("Absent", (), {"__repr__": lambda self: "ABSENT"})()
_ALONE: Final[FieldSet] = {}
_IGNORED = "managedFields"  # of metadata: nobody owns who owns what


class Mismatch(ValueError):
    """A value that does not fit its shape, in the words of structured-merge-diff."""


def item_key(shape: Shape, item: Any) -> str:
    """The path element of an associative list's item. Raises Mismatch."""
    if not shape.keys:
        if isinstance(item, dict):
            raise Mismatch("associative list without keys has an element that's a map type")
        if isinstance(item, list):
            raise Mismatch("not supported: associative list with lists as elements")
        if item is None:
            raise Mismatch("associative list without keys has an element that's an explicit null")
        return "v:" + orjson.dumps(item).decode()
    if not isinstance(item, dict):
        what = "a null element" if item is None else "non-map elements"
        raise Mismatch(f"associative list with keys may not have {what}")
    key = {}
    for name in sorted(shape.keys):
        value = item.get(name, ABSENT)
        if value is ABSENT:
            value = shape.defaults.get(name, ABSENT)
        if value is not ABSENT:
            key[name] = value
    if not key:
        names = " ".join(f'"{name}"' for name in shape.keys)
        raise Mismatch(
            f"associative list with keys has an element that omits all key fields [{names}] "
            "(and doesn't have default values for any key fields)"
        )
    return "k:" + orjson.dumps(key).decode()


# -- check -----------------------------------------------------------------------------------------------


def check(shape: Shape, value: Any) -> None:
    """Raises Mismatch for an applied configuration that the schema does not allow."""
    problems: list[str] = []
    _check(shape, value, "", problems)
    if len(problems) == 1:
        raise Mismatch(problems[0])
    if problems:
        raise Mismatch("\n  ".join(["errors:", *problems]))


def _check(shape: Shape, value: Any, path: str, problems: list[str]) -> None:
    if value is None:
        return
    shape = resolved(shape, value)
    where = f"{path}: " if path else ""
    if shape.kind == MAP:
        if not isinstance(value, dict):
            problems.append(f"{where}expected map, got {_go(value)}")
            return
        for name, inner in sorted(value.items()):
            below = shape.of(name)
            if below is None:
                problems.append(f"{path}.{name}: field not declared in schema")
                return
            _check(below, inner, f"{path}.{name}", problems)
    elif shape.kind == LIST:
        if not isinstance(value, list):
            problems.append(f"{where}expected list, got {_go(value)}")
            return
        _check_items(shape, value, path, problems)
    else:
        _check_scalar(shape.scalar, value, where, problems)


def _check_items(shape: Shape, value: list[Any], path: str, problems: list[str]) -> None:
    from .fieldset import show

    assert shape.element is not None
    seen = set()
    for index, item in enumerate(value):
        shown = f"[{index}]"
        if not shape.atomic:
            try:
                key = item_key(shape, item)
            except Mismatch as error:
                problems.append(f"{path}: element {index}: {error}")
                return
            shown = show(key)
            if key in seen:
                problems.append(f"{path}: duplicate entries for key {shown}")
            seen.add(key)
        _check(shape.element, item, path + shown, problems)


def _check_scalar(scalar: str, value: Any, where: str, problems: list[str]) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if scalar == "numeric" and not is_number:
        names = {str: "string", bool: "bool", dict: "map[string]interface {}", list: "[]interface {}"}
        problems.append(f"{where}expected numeric (int or float), got {names[type(value)]}")
    elif scalar == "string" and not isinstance(value, str):
        problems.append(f"{where}expected string, got &value.valueUnstructured{{Value:{_go(value)[2:-1]}}}")
    elif scalar == "boolean" and not isinstance(value, bool):
        problems.append(f"{where}expected boolean, got {_go(value)}")
    elif scalar == "untyped" and isinstance(value, dict | list):
        problems.append(f"{where}expected any scalar, got {_go(value)}")


def _go(value: Any) -> str:
    """As Go prints a value with %v, in its wrapper."""

    def plain(inner: Any) -> str:
        if isinstance(inner, dict):
            return "map[" + " ".join(f"{k}:{plain(v)}" for k, v in sorted(inner.items())) + "]"
        if isinstance(inner, list):
            return "[" + " ".join(plain(v) for v in inner) + "]"
        if isinstance(inner, bool):
            return "true" if inner else "false"
        return "<nil>" if inner is None else str(inner)

    return f"&{{{plain(value)}}}"


# -- own -------------------------------------------------------------------------------------------------


def field_set(shape: Shape, value: Any) -> FieldSet:
    """The fields that a configuration sets: leaves, items of lists, entries of maps; not the structs around them."""
    result: FieldSet = {}
    shape = resolved(shape, value)
    if shape.kind == MAP and isinstance(value, dict):
        for name, inner in value.items():
            below = shape.of(name)
            if below is None:
                continue
            below = resolved(below, inner)
            found = {} if below.atomic or below.kind == LEAF else field_set(below, inner)
            if below.atomic or below.kind == LEAF or inner is None or inner == {}:
                result[f"f:{name}"] = {}
            elif name not in shape.fields:
                result[f"f:{name}"] = {ITSELF: {}, **found} if found else {}
            elif found:
                result[f"f:{name}"] = found
    elif shape.kind == LIST and isinstance(value, list):
        assert shape.element is not None
        for key, items in _by_key(shape, value).items():
            below = resolved(shape.element, items[0])
            leaf = below.atomic or below.kind == LEAF or len(items) > 1
            found = {} if leaf else field_set(below, items[0])
            result[key] = {ITSELF: {}, **found} if found else {}
    return result


# -- compare ---------------------------------------------------------------------------------------------


def compare(shape: Shape, old: Any, new: Any) -> tuple[FieldSet, FieldSet]:
    """(what is added or of another value in `new`, what is gone). Members that the type always shows count as shown."""
    changed: FieldSet = {}
    removed: FieldSet = {}
    _compare_maps(shape, old, new, changed, removed)
    return changed, removed


def _compare(shape: Shape, old: Any, new: Any, element: str, changed: FieldSet, removed: FieldSet) -> None:
    """Of one element of a map or list, into the sets of what it is in."""
    if old is new or old == new:
        return
    if shape.kind not in (MAP, LIST, LEAF):
        before, after = resolved(shape, old), resolved(shape, new)
        if old is not None and old is not ABSENT and new is not None and new is not ABSENT:
            if (
                before.kind != after.kind
            ):  # another kind of value: the old one's leaves are gone, the new one's there
                _compare(before, old, None if before.kind != LEAF else new, element, changed, removed)
        shape = before if new is None or new is ABSENT else after
    if shape.atomic or shape.kind == LEAF or (_empty(old) and _empty(new)):
        if new is ABSENT:
            removed[element] = {}
        elif old is ABSENT or type(old) is not type(new) or old != new:
            changed[element] = {}
        return
    if old is ABSENT:
        changed[element] = _around(_added(shape, new))
        return
    inner_changed: FieldSet = {}
    inner_removed: FieldSet = {}
    if new is ABSENT:
        inner_removed[ITSELF] = {}
    compare_inside = _compare_maps if shape.kind == MAP else _compare_lists
    compare_inside(shape, old, new, inner_changed, inner_removed)
    if inner_changed:
        changed[element] = inner_changed
    if inner_removed:
        removed[element] = {} if len(inner_removed) == 1 and ITSELF in inner_removed else inner_removed


def _compare_maps(shape: Shape, old: Any, new: Any, changed: FieldSet, removed: FieldSet) -> None:
    before: Object = old if isinstance(old, dict) else {}
    after: Object = new if isinstance(new, dict) else {}
    always = shape.always
    fields, other = shape.fields, shape.element
    old_default = always if old is not ABSENT and old is not None else {}
    new_default = always if new is not ABSENT and new is not None else {}
    for name, now in after.items():
        was = before.get(name, ABSENT)
        if was is now:
            continue
        if was is ABSENT and name in old_default:
            was = old_default[name]
        below = fields.get(name) or other
        if below is not None and name != _IGNORED:
            _compare(below, was, now, f"f:{name}", changed, removed)
    for name, was in before.items():
        if name not in after:
            below = fields.get(name) or other
            if below is not None and name != _IGNORED:
                now = new_default.get(name, ABSENT)
                _compare(below, was, now, f"f:{name}", changed, removed)
    if new is ABSENT:
        for name in always:
            if name not in before:
                removed[f"f:{name}"] = _ALONE


def _compare_lists(shape: Shape, old: Any, new: Any, changed: FieldSet, removed: FieldSet) -> None:
    assert shape.element is not None
    before, after = _by_key(shape, old), _by_key(shape, new)
    for key, now in after.items():
        was = before.get(key)
        if len(now) > 1 or (was is not None and len(was) > 1):
            _compare_duplicates(shape.element, key, was or [], now, changed, removed)
        else:
            _compare(shape.element, was[0] if was else ABSENT, now[0], key, changed, removed)
    for key, was in before.items():
        if key not in after:
            if len(was) > 1:
                removed[key] = {}
            else:
                _compare(shape.element, was[0], ABSENT, key, changed, removed)


def _by_key(shape: Shape, value: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for item in value if isinstance(value, list) else ():
        found.setdefault(item_key(shape, item), []).append(item)
    return found


def _compare_duplicates(
    element: Shape, key: str, was: list[Any], now: list[Any], changed: FieldSet, removed: FieldSet
) -> None:
    """Items with one key are one leaf."""
    if len(was) > 1 and len(now) > 1:
        if was != now:
            changed[key] = {}
    elif len(was) > 1:
        _compare(element, ABSENT, now[0], key, changed, removed)
        removed[key] = {}
    else:
        if was:
            _compare(element, was[0], ABSENT, key, changed, removed)
        changed[key] = {}


def _added(shape: Shape, value: Any) -> FieldSet:
    """Everything in a value that was not there: what it contains, each container a member too."""
    result: FieldSet = {}
    if isinstance(value, dict):
        members, other = shape.members, shape.element
        for name, inner in value.items():
            member = members.get(name)
            if member is not None:
                element, below, leaf = member
            elif other is not None:
                element, below, leaf = f"f:{name}", other, other.kind == LEAF
            else:
                continue
            result[element] = _ALONE if leaf or not inner else _around(_added(resolved(below, inner), inner))
        for name in shape.always:
            if name not in value:
                result[f"f:{name}"] = _ALONE
    elif isinstance(value, list) and not shape.atomic:
        if shape.element is None:
            raise Mismatch(f"expected map, got {_go(value)}")
        for item in value:
            key = item_key(shape, item)
            below = resolved(shape.element, item)
            result[key] = _ALONE if below.atomic or key in result else _around(_added(below, item))
    return result


def initial(shape: Shape, value: Object) -> FieldSet:
    """What a new object owns: as `compare` with the empty object of its type, which is much of the cost of a create."""
    result: FieldSet = {}
    members, always = shape.members, shape.always
    for name, inner in value.items():
        member = members.get(name)
        if member is None:
            if shape.element is not None:
                _compare(shape.element, ABSENT, inner, f"f:{name}", result, {})
            continue
        element, below, leaf = member
        if name not in always:
            if leaf or not inner:
                result[element] = _ALONE
            else:
                result[element] = inside = _added(
                    below if below.kind != ANY else resolved(below, inner), inner
                )
                if inside:
                    inside[ITSELF] = _ALONE
        elif leaf or below.kind != MAP:
            _compare(below, always[name], inner, element, result, {})
        elif inner and (found := initial(below, inner)):
            result[element] = found
    return result


def _around(inside: FieldSet) -> FieldSet:
    """A member with what is in it."""
    if inside:
        inside[ITSELF] = _ALONE
    return inside


# -- merge -----------------------------------------------------------------------------------------------


def merge(shape: Shape, live: Any, applied: Any) -> Any:
    """`live` with what is applied: maps and associative lists merge, everything else is replaced. ABSENT where nothing is left."""
    shape = resolved(shape, live if applied is None else applied)
    if shape.atomic or shape.kind == LEAF or (_empty(live) and _empty(applied)):
        return applied
    if shape.kind == MAP:
        before: Object = live if isinstance(live, dict) else {}
        after: Object = applied if isinstance(applied, dict) else {}
        result: Object = {}  # what is not applied stays as it is
        for name, now in after.items():
            below = shape.of(name)
            merged = now if below is None else merge(below, before.get(name, ABSENT), now)
            if merged is not ABSENT:
                result[name] = merged
        return {**before, **result} or ABSENT
    items = _merge_items(
        shape, live if isinstance(live, list) else [], applied if isinstance(applied, list) else []
    )
    return items or ABSENT


def _empty(value: Any) -> bool:
    return value is ABSENT or not value


def _merge_items(shape: Shape, live: list[Any], applied: list[Any]) -> list[Any]:
    """The applied items in their own order; between them, those that only `live` has, each where it stood before the next common one."""
    assert shape.element is not None
    element = shape.element
    before = [item_key(shape, item) for item in live]
    after = [item_key(shape, item) for item in applied]
    there: dict[str, Any] = {}
    for key, item in zip(before, live, strict=True):
        there[key] = None if key in there else item  # of duplicates none is merged into
    wanted = set(after)
    common = iter([key for key in after if key in there])
    awaited = next(common, None)
    result: list[Any] = []
    position = 0

    for key, item in zip(after, applied, strict=True):
        while position < len(before):
            at = before[position]
            if at == key:
                position += 1
                break
            if at not in wanted:
                result.append(live[position])
                position += 1
                continue
            if at == awaited:
                break
            position += 1
            if awaited is None:
                break
        merged = merge(element, there.get(key, ABSENT), item)
        if merged is not ABSENT:
            result.append(merged)
        if key == awaited:
            awaited = next(common, None)
    result += [item for at, item in zip(before[position:], live[position:], strict=True) if at not in wanted]
    return result


# -- remove ----------------------------------------------------------------------------------------------


def remove(shape: Shape, value: Any, fields: FieldSet) -> Any:
    """The value without the members of a set; null where nothing is left."""
    shape = resolved(shape, value)
    if shape.kind == LEAF:
        return value
    if shape.atomic or not value:
        return None
    if shape.kind == MAP:
        if not isinstance(value, dict):
            return None
        kept = {
            name: inner
            for name, old in value.items()
            if (inner := _rest(shape.of(name), old, fields.get(f"f:{name}"))) is not ABSENT
        }
        return kept or None
    items = [
        inner
        for item in value
        if (inner := _rest(shape.element, item, fields.get(item_key(shape, item)))) is not ABSENT
    ]
    return items or None


def _rest(shape: Shape | None, value: Any, fields: FieldSet | None) -> Any:
    if fields is None or shape is None:
        return value
    return ABSENT if not fields or ITSELF in fields else remove(shape, value, fields)


def with_named(shape: Shape, fields: FieldSet) -> FieldSet:
    """A set in which every struct member that something below belongs to belongs itself."""
    result: FieldSet = {}
    for element, inner in fields.items():
        if element == ITSELF or not inner:
            result[element] = inner
            continue
        name = element[2:]
        below = shape.of(name) if element[0] == "f" else shape.element
        found = with_named(below, inner) if below is not None else inner
        if element[0] == "f" and name in shape.fields:
            found = {ITSELF: {}, **found}
        result[element] = found
    return result
