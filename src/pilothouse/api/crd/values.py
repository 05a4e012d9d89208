"""Is a custom object as its schema says? What kube-openapi's validator checks, in its words; and ratcheting (KEP-4008).

Ratcheting: on an update, what is wrong with a value that did not change is let pass. A `Correlation` walks the old object beside the new one,
as far as a place in one has its counterpart in the other: through objects and maps, and through lists of type map by their keys.

Errors of a whole junctor have no path (`<nil>` for clients). Which of the alternatives' errors are shown beside them is decided by how many
checks each alternative passed; so a check gives its errors and that number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .. import names
from ..errors import Cause
from ..fielderrors import FieldErrors, quoted, shown
from ..object import Object
from ..re2 import PatternError
from ..re2 import compile as compile_re2
from . import formats
from .schema import Node

_JSON_TYPES = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}
_GO_FORMATS = {int: "int64", float: "float64"}
NO_PATH = "<nil>"


class Correlation:
    """A value and the one that stood in its place before."""

    __slots__ = ("_equal", "new", "node", "old")

    def __init__(self, new: Any, old: Any, node: Node | None):
        self.new, self.old, self.node = new, old, node
        self._equal: bool | None = None

    @property
    def unchanged(self) -> bool:
        if self._equal is None:
            self._equal = same(self.new, self.old)
        return self._equal

    def key(self, name: str) -> Correlation | None:
        if (
            type(self.old) is not dict
            or type(self.new) is not dict
            or name not in self.old
            or name not in self.new
        ):
            return None
        node = self.node
        below = None if node is None else node.properties.get(name) or node.additional_node
        return Correlation(self.new[name], self.old[name], below)

    def index(self, index: int) -> Correlation | None:
        node = self.node
        if (
            node is None
            or node.list_type != "map"
            or type(self.old) is not list
            or type(self.new) is not list
        ):
            return None
        old = matching_item(node, self.old, self.new[index])
        return None if old is None else Correlation(self.new[index], old, node.items)


def matching_item(node: Node, items: list[Any], item: Any) -> Object | None:
    """The item of a list of type map that has the same keys."""
    if type(item) is not dict:
        return None
    wanted = [item.get(key) for key in node.map_keys]
    for other in items:
        if type(other) is dict and same([other.get(key) for key in node.map_keys], wanted):
            return other
    return None


def same(left: Any, right: Any) -> bool:
    """Equal as JSON: true is not 1."""
    if type(left) is not type(right):
        numbers = type(left) in (int, float) and type(right) in (int, float)
        return numbers and left == right
    if type(left) is dict:
        return len(left) == len(right) and all(
            key in right and same(inner, right[key]) for key, inner in left.items()
        )
    if type(left) is list:
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right))
    return bool(left == right)


@dataclass(slots=True)
class _Problem:
    """`kind`: of the cause (FieldValueInvalid, …). `name`: the path in the value; None: it has none."""

    kind: str
    name: str | None
    message: str

    def cause(self, path: str) -> Cause:
        if self.name is None:
            return Cause(self.kind, self.message, path or NO_PATH)
        name = self.name.removeprefix(".")
        joined = f"{path}.{name}" if path and name else path or name
        return Cause(self.kind, self.message, joined or NO_PATH)


class _Result:
    __slots__ = ("count", "problems")

    def __init__(self) -> None:
        self.problems: list[_Problem] = []
        self.count = 0

    def merge(self, other: _Result) -> None:
        self.problems += other.problems
        self.count += other.count

    def add(self, kind: str, name: str | None, message: str) -> None:
        self.problems.append(_Problem(kind, name, message))

    def invalid(self, name: str, value: Any, text: str) -> None:
        self.add("FieldValueInvalid", name, f"Invalid value: {shown(value)}: {name} in body {text}")

    def whole(self, text: str) -> None:
        self.add("FieldValueInvalid", None, f'Invalid value: "": {text}')

    def wrong_type(self, name: str, wanted: str, value: str) -> None:
        text = f"{name} in body must be of type {wanted}: {quoted(value)}"
        self.add("FieldValueTypeInvalid", name, f"Invalid value: {quoted(value)}: {text}")


def validate(node: Node, value: Any, path: str = "", correlation: Correlation | None = None) -> list[Cause]:
    """`path`: what stands before the names of fields in the causes, not in the texts."""
    return [problem.cause(path) for problem in _ratcheted(node, value, "", correlation).problems]


def _ratcheted(node: Node, value: Any, name: str, correlation: Correlation | None) -> _Result:
    result = _check(node, value, name, correlation)
    if result.problems and correlation is not None and correlation.unchanged:
        result.problems = []
    return result


def _check(node: Node, value: Any, name: str, correlation: Correlation | None) -> _Result:
    result = _Result()
    if value is None:
        if node.types and not node.nullable:
            result.wrong_type(name, ",".join(node.types), "null")
        _check_enum(node, value, name, result)
        return result
    kind = type(value)
    if node.types or node.format:
        if not _check_type(node, value, name, result):
            result.count += 1
        result.count += 1
    if node.junctors:
        result.merge(_check_junctors(node, value, name, correlation))
    result.count += 2  # the junctors' own, and that of having checked them
    if kind is str:
        _check_string(node, value, name, result)
        result.count += 1
        if node.format and node.format not in ("int32", "int64", "float", "double"):
            if not formats.holds(node.format, value):
                result.wrong_type(name, node.format, value)
            result.count += 1
    elif kind is int or kind is float:
        _check_shown(node, value, name, result)
        result.count += 2
    elif kind is list:
        if node.items is not None:
            for index, inner in enumerate(value):
                below = None if correlation is None else correlation.index(index)
                result.merge(_ratcheted(node.items, inner, f"{name}[{index}]", below))
        bounds = node.bounds
        if len(value) < bounds.get("minItems", 0):
            result.invalid(name, len(value), f"should have at least {bounds['minItems']} items")
        if len(value) > bounds.get("maxItems", math.inf):
            _too_many(name, len(value), bounds["maxItems"], result)
        if node.unique and any(same(a, b) for i, a in enumerate(value) for b in value[:i]):
            result.add(
                "FieldValueInvalid", name, f'Invalid value: "": {name} in body shouldn\'t contain duplicates'
            )
        result.count += 2
    _check_enum(node, value, name, result)
    result.count += 1
    if kind is dict:
        _check_object(node, value, name, correlation, result)
        result.count += 1
    result.count += 1
    return result


def _check_type(node: Node, value: Any, name: str, result: _Result) -> bool:
    """True if it is wrong."""
    types, kind = node.types, type(value)
    type_ = _JSON_TYPES[kind]
    fits = (
        type_ in types
        or (type_ == "integer" and "number" in types)
        or (kind is float and "integer" in types and value.is_integer() and abs(value) <= _JSON_INTEGER_MAX)
    )
    sized = kind is str or kind is list
    if not sized and node.format and not fits:
        result.wrong_type(name, node.format, _GO_FORMATS.get(kind, ""))
        return True
    if node.format and sized and "number" not in types and "integer" not in types:
        return False  # the format's own check says more
    if not fits:
        result.wrong_type(name, ",".join(types), type_)
    return not fits


def _check_string(node: Node, value: str, name: str, result: _Result) -> None:
    bounds = node.bounds
    if len(value) > bounds.get("maxLength", math.inf):
        most = bounds["maxLength"]
        result.add(
            "FieldValueTooLong", name, f"Too long: may not be more than {most} byte{'' if most == 1 else 's'}"
        )
    elif len(value) < bounds.get("minLength", 0):
        result.invalid(name, value, f"should be at least {bounds['minLength']} chars long")
    elif node.pattern:
        try:
            if not compile_re2(node.pattern).search(value):
                result.invalid(name, value, f"should match '{node.pattern}'")
        except PatternError as error:
            result.invalid(name, value, f"should match '{node.pattern}, but pattern is invalid: {error}'")


_JSON_INTEGER_MAX = 2**53 - 1  # a greater float is no integer to Go
_FLOAT32_MAX = 3.4028234663852886e38


def _check_shown(node: Node, value: int | float, name: str, result: _Result) -> None:
    type_ = node.types[0] if len(node.types) == 1 else ""
    how = f"with format {node.format}" if node.format else "(default format)"
    if type_ == "integer":
        bits = 32 if node.format == "int32" else 64
        if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1) or (
            type(value) is float and not value.is_integer()
        ):
            result.whole(f"Checked value must be of type integer {how} in {name}")
    elif node.format == "float" and abs(value) > _FLOAT32_MAX:
        result.whole(f"Checked value must be of type number {how} in {name}")
    bounds, whole = node.bounds, type(value) is int
    if (factor := bounds.get("multipleOf")) is not None:
        used = _limit("MultipleOf", factor, type_, whole, name, result)
        if used <= 0:
            text = f"factor MultipleOf declared for {name} must be positive: {shown(used)}"
            result.add("FieldValueInvalid", name, f"Invalid value: {shown(used)}: {text}")
        elif not _is_multiple(value, used):
            result.invalid(name, value, f"should be a multiple of {shown(used)}")
    for bound, least, exclusive, words in (
        ("minimum", True, node.exclusive_minimum, "greater than"),
        ("maximum", False, node.exclusive_maximum, "less than"),
    ):
        limit = bounds.get(bound)
        if limit is None:
            continue
        used = _limit(f"{bound.capitalize()} boundary", limit, type_, whole, name, result)
        if (value < used if least else value > used) or (exclusive and value == used):
            result.invalid(
                name, value, f"should be {words} {'' if exclusive else 'or equal to '}{shown(used)}"
            )


def _limit(what: str, limit: float, type_: str, whole: bool, name: str, result: _Result) -> float:
    """A bound as it is compared: Go cuts it to an integer where the value is one."""
    if type_ == "integer" and not float(limit).is_integer():
        result.whole(f"{what} value must be of type integer (default format) in {name}")
        return limit
    return int(limit) if whole else limit


def _is_multiple(value: int | float, factor: float) -> bool:
    if type(value) is int and type(factor) is int:
        return value % factor == 0
    quotient = value / factor if factor >= 1 else 1 / factor * value
    if abs(quotient) > _JSON_INTEGER_MAX:
        return False
    return abs(quotient - round(quotient)) < 1e-9 * max(1.0, abs(quotient))


def _too_many(name: str, count: int, most: int, result: _Result) -> None:
    result.add(
        "FieldValueTooMany",
        name,
        f"Too many: {count}: must have at most {most} item{'' if most == 1 else 's'}",
    )


def _check_enum(node: Node, value: Any, name: str, result: _Result) -> None:
    if node.enum and not any(
        same(value, one) or (type(value) is float and type(one) is int and int(value) == one)
        for one in node.enum
    ):  # Go cuts a number to an integer to compare it with one
        allowed = ", ".join(quoted(one if type(one) is str else shown(one)) for one in node.enum)
        text = f"Unsupported value: {shown(value)}: supported values: {allowed}"
        result.add("FieldValueNotSupported", name, text)


def _check_object(
    node: Node, value: Object, name: str, correlation: Correlation | None, result: _Result
) -> None:
    bounds = node.bounds
    if len(value) < bounds.get("minProperties", 0):
        result.invalid(name, len(value), f"should have at least {bounds['minProperties']} properties")
    if len(value) > bounds.get("maxProperties", math.inf):
        _too_many(name, len(value), bounds["maxProperties"], result)
    extra = node.additional
    if extra is not None and extra is not True:
        for key, inner in value.items():
            if key in node.properties:
                continue
            if extra is False:
                text = f"{name}.{key} in body is a forbidden property"
                result.add("FieldValueInvalid", name, f"Invalid value: {quoted(key)}: {text}")
            else:
                below = None if correlation is None else correlation.key(key)
                result.merge(_ratcheted(extra, inner, f"{name}.{key}", below))
    for key, schema in node.properties.items():
        if key in value:
            below = None
            if correlation is not None and not (name == "" and key in ("kind", "apiVersion")):
                below = correlation.key(key)
            result.merge(_ratcheted(schema, value[key], f"{name}.{key}" if name else key, below))
    for key in node.required:
        if key not in value:
            result.add("FieldValueRequired", f"{name}.{key}", "Required value")


def _check_junctors(node: Node, value: Any, name: str, correlation: Correlation | None) -> _Result:
    result = _Result()
    if node.any_of:
        tried = []
        for schema in node.any_of:
            tried.append(_check(schema, value, name, correlation))
            if not tried[-1].problems:
                result.merge(tried[-1])
                break
        else:
            result.whole(f"{quoted(name)} must validate at least one schema (anyOf)")
            result.merge(max(tried, key=lambda one: one.count))
    if node.one_of:
        tried = [_check(schema, value, name, correlation) for schema in node.one_of]
        valid = [one for one in tried if not one.problems]
        if len(valid) == 1:
            result.merge(valid[0])
        else:
            found = f"Found {len(valid)} valid alternatives" if valid else "Found none valid"
            result.whole(f"{quoted(name)} must validate one and only one schema (oneOf). {found}")
            if not valid:
                result.merge(max(tried, key=lambda one: one.count))
    if node.all_of:
        tried = [_check(schema, value, name, correlation) for schema in node.all_of]
        for one in tried:
            result.merge(one)
        valid = [one for one in tried if not one.problems]
        if len(valid) != len(tried):
            result.whole(
                f"{quoted(name)} must validate all the schemas (allOf){'' if valid else '. None validated'}"
            )
    if node.negated is not None and not _check(node.negated, value, name, correlation).problems:
        result.whole(f"{quoted(name)} must not validate the schema (not)")
    return result


# -- lists of type set and map ---------------------------------------------------------------------------------------------


def validate_lists(node: Node, value: Any, path: str = "") -> list[Cause]:
    """That sets have no member twice, and maps no key."""
    found: list[Cause] = []
    if type(value) is list:
        if node.list_type in ("set", "map"):
            found += _repetitions(node, value, path)
        if node.items is not None:
            for index, inner in enumerate(value):
                found += validate_lists(node.items, inner, f"{path}[{index}]")
    elif type(value) is dict:
        for key, inner in value.items():
            if type(inner) is not dict and type(inner) is not list:
                continue
            if key in node.properties:
                found += validate_lists(node.properties[key], inner, f"{path}.{key}" if path else key)
            elif isinstance(node.additional, Node):
                found += validate_lists(node.additional, inner, f"{path}[{key}]")
    return found


def _repetitions(node: Node, items: list[Any], path: str) -> list[Cause]:
    keys: list[Any] = items
    if node.list_type == "map":
        for index, item in enumerate(items):
            if item is not None and type(item) is not dict:
                why = f"Invalid value: {shown(item)}: must be an object for an array of list-type map"
                return [Cause("FieldValueInvalid", why, f"{path}[{index}]")]
        keys = [{k: item[k] for k in node.map_keys if k in (item or {})} for item in items]
    return [
        Cause("FieldValueDuplicate", f"Duplicate value: {shown(keys[index])}", f"{path}[{index}]")
        for index in _repeated(keys)
    ]


def _repeated(keys: list[Any]) -> list[int]:
    """The second appearance of whatever appears more than once."""
    seen: dict[str, int] = {}
    found = []
    for index, key in enumerate(keys):
        text = f"{type(key).__name__}{shown(key)}"
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:
            found.append(index)
    return found


# -- embedded resources ------------------------------------------------------------------------------------------------------


def validate_embedded(node: Node, value: Any, path: str = "", *, root: bool = False) -> list[Cause]:
    """Kind, version and metadata of embedded resources (and with `root`, of this one)."""
    found = FieldErrors()
    if type(value) is dict:
        if node.embedded or root:
            _check_embedded(value, path, found)
        for key, inner in value.items():
            if type(inner) is dict or type(inner) is list:
                if key in node.properties:
                    found += validate_embedded(node.properties[key], inner, f"{path}.{key}" if path else key)
                elif isinstance(node.additional, Node):
                    found += validate_embedded(node.additional, inner, f"{path}[{key}]")
    elif type(value) is list and node.items is not None:
        for index, inner in enumerate(value):
            found += validate_embedded(node.items, inner, f"{path}[{index}]")
    return found


def _check_embedded(value: Object, path: str, errors: FieldErrors) -> None:
    from ..validation import metadata

    for name in ("apiVersion", "kind"):
        if name not in value:
            errors.required(f"{path}.{name}")
    for name, inner in value.items():
        below = f"{path}.{name}"
        if name == "metadata":
            meta = inner if type(inner) is dict else {}
            meta = {**meta, "name": meta.get("name") or "fakename"}
            metadata.created(
                errors,
                meta,
                names.path_segment,
                path=below,
                namespaced=bool(meta.get("namespace")),
                known_finalizers=False,
            )
        elif name in ("apiVersion", "kind"):
            if type(inner) is not str:
                errors.invalid(below, inner, "must be a string")
            elif not inner:
                errors.invalid(below, inner, "must not be empty")
            elif name == "apiVersion" and inner.count("/") > 1:
                errors.invalid(below, inner, f"unexpected GroupVersion string: {inner}")
            elif name == "kind" and (wrong := names.dns1035_label(inner.lower())):
                errors.invalid(
                    below, inner, f"may have mixed case, but should otherwise match: {','.join(wrong)}"
                )
