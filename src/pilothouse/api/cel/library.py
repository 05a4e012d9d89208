"""What the functions of CEL do: the standard ones, cel-go's extensions, and Kubernetes' own (apiserver/pkg/cel/library).

The checker has seen to the types as far as it could; where it could not (`dyn`), a function that is given what it has no form for says
"no such overload".
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from .. import names
from ..fielderrors import go_float
from ..quantity import Quantity
from ..re2 import PatternError
from ..re2 import compile as compile_re2
from . import values
from .errors import CelError, NoOverload
from .values import (
    INT_MAX,
    INT_MIN,
    NANO,
    NONE,
    UINT_MAX,
    YEAR_1,
    Cidr,
    Duration,
    Format,
    Ip,
    Optional,
    Semver,
    Timestamp,
    TypeValue,
    Uint,
    Url,
    equal,
    joined,
)

Function = Callable[..., Any]


def no_overload() -> CelError:
    return NoOverload()


_SUMMED = (int, Uint, float, str, bytes, list, values.SetList, values.MapList, Duration, Timestamp)
_SIZED = (str, bytes, list, values.SetList, values.MapList, dict)
_OPERANDS: dict[str, tuple[type, ...]] = {
    "_+_": _SUMMED,
    "_-_": (int, Uint, float, Duration, Timestamp),
    "_*_": (int, Uint, float),
    "_/_": (int, Uint, float),
    "_%_": (int, Uint),
    **dict.fromkeys(
        ("_<_", "_<=_", "_>_", "_>=_"), (int, Uint, float, bool, str, bytes, Duration, Timestamp)
    ),
    "size": _SIZED,
}
_QUIET = frozenset("!_ -_ @in contains startsWith endsWith matches containsIP".split())


def unmatched(function: str, args: list[Any]) -> CelError:
    """What cel-go says where none of a function's forms fits the values."""
    known = _OPERANDS.get(function)
    if function in _QUIET or (known is not None and type(args[0]) in known):
        return CelError("no such overload")
    if known is not None:
        return CelError(f"no such overload: {function}")
    given = ", ".join(type_value(arg).name for arg in args)
    return CelError(f"no such overload: {function}({given})")


GO_TYPES: dict[type, str] = {
    int: "Int", Uint: "Uint", float: "Double", bool: "Bool", str: "String", bytes: "Bytes", type(None): "Null",
    Duration: "Duration", Timestamp: "Timestamp",
}  # fmt: skip


def hashable(value: Any) -> bool:
    return isinstance(value, (str, int, float, bool, bytes))


_TYPE_NAMES: dict[type, str] = {
    bool: "bool", int: "int", Uint: "uint", float: "double", str: "string", bytes: "bytes", type(None): "null_type", list: "list",
    values.SetList: "list", values.MapList: "list", dict: "map", Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration", Optional: "optional_type", TypeValue: "type", Url: "kubernetes.URL", Ip: "net.IP",
    Cidr: "net.CIDR", Quantity: "kubernetes.Quantity", Semver: "kubernetes.Semver", Format: "kubernetes.NamedFormat",
}  # fmt: skip


_SPELLED = {
    "null": "null_type",
    "timestamp": "google.protobuf.Timestamp",
    "duration": "google.protobuf.Duration",
}


def spelled(type_name: str) -> str:
    """The name of a type as expressions see it."""
    return _SPELLED.get(type_name, type_name)


def type_value(value: Any) -> TypeValue:
    return TypeValue(getattr(value, "type_name", "") or _TYPE_NAMES.get(type(value), "map"))


# -- arithmetic --------------------------------------------------------------------------------------------------------


def _ranged(value: int, like: Any) -> Any:
    if type(like) is Uint:
        if not 0 <= value <= UINT_MAX:
            raise CelError("unsigned integer overflow")
        return Uint(value)
    if not INT_MIN <= value <= INT_MAX:
        raise CelError("integer overflow")
    return value


def add(left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is type(right):
        if kind is int or kind is Uint:
            return _ranged(int(left) + int(right), left)
        if kind is str or kind is float or kind is bytes:
            return left + right
        if kind is Duration:
            return Duration(left.nanos + right.nanos)
    if isinstance(left, list) and isinstance(right, list):
        return joined(left, right)
    if kind is Timestamp and type(right) is Duration:
        return left.moved(right.nanos)
    if kind is Duration and type(right) is Timestamp:
        return right.moved(left.nanos)
    raise no_overload()


def subtract(left: Any, right: Any) -> Any:
    kind = type(left)
    if kind is type(right):
        if kind is int or kind is Uint:
            return _ranged(int(left) - int(right), left)
        if kind is float:
            return left - right
        if kind is Duration or kind is Timestamp:
            return Duration(left.nanos - right.nanos)
    if kind is Timestamp and type(right) is Duration:
        return left.moved(-right.nanos)
    raise no_overload()


def multiply(left: Any, right: Any) -> Any:
    if type(left) is type(right):
        if type(left) in (int, Uint):
            return _ranged(int(left) * int(right), left)
        if type(left) is float:
            return left * right
    raise no_overload()


def divide(left: Any, right: Any) -> Any:
    if type(left) is type(right):
        if type(left) in (int, Uint):
            if right == 0:
                raise CelError("division by zero")
            quotient = abs(int(left)) // abs(int(right))
            return _ranged(quotient if (left < 0) == (right < 0) else -quotient, left)
        if type(left) is float:
            if right == 0:
                return (
                    math.nan
                    if left == 0 or math.isnan(left)
                    else math.copysign(math.inf, left) * math.copysign(1, right)
                )
            return left / right
    raise no_overload()


def modulo(left: Any, right: Any) -> Any:
    if type(left) is type(right) and type(left) in (int, Uint):
        if right == 0:
            raise CelError("modulus by zero")
        rest = abs(int(left)) % abs(int(right))
        return _ranged(-rest if left < 0 else rest, left)
    raise no_overload()


def negate(value: Any) -> Any:
    if type(value) is int:
        return _ranged(-value, value)
    if type(value) is float:
        return -value
    raise no_overload()


def invert(value: Any) -> bool:
    if type(value) is bool:
        return not value
    raise no_overload()


_NUMERIC = (int, Uint, float)


_ORDERED = (*_NUMERIC, str, bool, bytes, Timestamp, Duration)


def _compare(test: Callable[[Any, Any], bool]) -> Function:
    def compare(left: Any, right: Any) -> bool:
        kind = type(left)
        if left != left or right != right:
            raise CelError("NaN values cannot be ordered")
        if kind is type(right):
            if kind in _ORDERED:
                return test(left, right)
        elif kind in _NUMERIC and type(right) in _NUMERIC:
            if kind is float or type(right) is float:
                return test(float(left), float(right))  # as cel-go does, although digits may be lost
            return test(left, right)
        raise no_overload()

    return compare


# -- conversions -------------------------------------------------------------------------------------------------------


def _tried(convert: Callable[..., Any], what: str = "") -> Function:
    """A conversion whose ValueError is an error of the expression."""

    def run(*args: Any) -> Any:
        try:
            return convert(*args)
        except ValueError as error:
            raise CelError(what or str(error)) from None

    return run


def _unconvertible(to: str) -> CelError:
    return CelError(f"type conversion error from 'string' to '{to}'")


def to_int(value: Any) -> int:
    kind = type(value)
    if kind is int:
        return int(value)
    if kind is Uint:
        if value > INT_MAX:
            raise CelError("integer overflow")
        return int(value)
    if kind is float:
        if not INT_MIN < value < INT_MAX:
            raise CelError("integer overflow")
        return int(value)
    if kind is str:
        if not re.fullmatch(r"[+-]?\d+", value, re.ASCII) or not INT_MIN <= int(value) <= INT_MAX:
            raise _unconvertible("int")
        return int(value)
    if kind is Timestamp:
        return int(value.nanos // NANO)
    raise no_overload()


def to_uint(value: Any) -> Uint:
    if type(value) is str:
        if not re.fullmatch(r"\d+", value, re.ASCII) or int(value) > UINT_MAX:
            raise _unconvertible("uint")
        return Uint(int(value))
    if type(value) in _NUMERIC:
        if not 0 <= value <= UINT_MAX:
            raise CelError("unsigned integer overflow")
        return Uint(int(value))
    raise no_overload()


def to_double(value: Any) -> float:
    if type(value) is str:
        try:
            return float(value)
        except ValueError:
            raise _unconvertible("double") from None
    if type(value) in _NUMERIC:
        return float(value)
    raise no_overload()


def to_string(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is bytes:
        try:
            return str(value, "utf-8")
        except UnicodeDecodeError:
            raise CelError("invalid UTF-8 in bytes, cannot convert to string") from None
    if kind is float:
        return go_float(value)
    if kind in (int, Uint, Timestamp, Duration, Ip, Cidr):
        return str(value)
    raise no_overload()


def text_of(value: Any) -> str:
    """As values stand in messages of errors."""
    return (
        value
        if type(value) is str
        else to_string(value)
        if type(value) in (bool, int, Uint, float)
        else str(value)
    )


def to_bool(value: Any) -> bool:
    if type(value) is bool:
        return bool(value)
    if value in ("true", "True", "TRUE", "t", "1"):
        return True
    if value in ("false", "False", "FALSE", "f", "0"):
        return False
    raise _unconvertible("bool") if type(value) is str else no_overload()


def to_timestamp(value: Any) -> Timestamp:
    if type(value) is str:
        return Timestamp.parse(value)
    if type(value) is int:
        return Timestamp(value * NANO)
    if type(value) is Timestamp:
        return value
    raise no_overload()


def to_duration(value: Any) -> Duration:
    if type(value) is str:
        return Duration.parse(value)
    if type(value) is int:
        return Duration(value)
    if type(value) is Duration:
        return value
    raise no_overload()


# -- strings -----------------------------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    if type(value) is str:
        return str(value)
    raise no_overload()


def size(value: Any) -> int:
    if isinstance(value, (str, bytes, list, dict)):
        return len(value)
    raise no_overload()


def pattern(text: str) -> re.Pattern[str]:
    try:
        return compile_re2(text)
    except PatternError as error:
        raise CelError(str(error)) from None


def char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(_text(text)):
        raise CelError(f"index out of range: {index}")
    return text[index : index + 1]


def index_of(value: Any, item: Any, start: int = 0) -> int:
    if isinstance(value, list):
        return next((index for index, each in enumerate(value) if equal(each, item)), -1)
    if not _text(item):
        return start
    if start < 0:
        raise CelError(f"index out of range: {start}")
    return _text(value).find(item, start)


def last_index_of(value: Any, item: Any, end: int | None = None) -> int:
    if isinstance(value, list):
        return next((index for index in range(len(value) - 1, -1, -1) if equal(value[index], item)), -1)
    if end is None:
        return _text(value).rfind(_text(item))
    if not _text(item):
        return end
    if end < 0:
        raise CelError(f"index out of range: {end}")
    if end >= len(_text(value)):
        return -1
    return _text(value).rfind(item, 0, end + len(item))


def substring(text: str, start: int, end: int | None = None) -> str:
    last = len(_text(text)) if end is None else end
    if start > last and end is not None:
        raise CelError(f"invalid substring range. start: {start}, end: {end}")
    if not 0 <= start <= len(text):
        raise CelError(f"index out of range: {start}")
    if last > len(text):
        raise CelError(f"index out of range: {last}")
    return text[start:last]


def split(text: str, by: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if not by:
        parts = list(_text(text))
        return (
            parts if limit < 0 or limit >= len(parts) else [*parts[: limit - 1], "".join(parts[limit - 1 :])]
        )
    return _text(text).split(by, limit - 1 if limit > 0 else -1)


def join(items: list[Any], by: str = "") -> str:
    return by.join(_text(item) for item in items)


_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_UPPER = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_SPACE = " \t\n\v\f\r\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


def find(text: str, expression: str) -> str:
    match = pattern(expression).search(_text(text))
    return match[0] if match else ""


def find_all(text: str, expression: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in pattern(expression).finditer(_text(text))]
    return found if limit < 0 else found[:limit]


_ESCAPES = {ord(char): f"\\{name}" for char, name in zip('\a\b\f\n\r\t\v\\"', 'abfnrtv\\"')}


def quote(text: str) -> str:
    return f'"{_text(text).translate(_ESCAPES)}"'


_CLAUSE = re.compile(r"%(?:%|(?:\.(\d*))?([^.\d])|(\.\d*)(?!.)|)", re.DOTALL)
_RAISED = str.maketrans("+-0123456789", "⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
ONLY = {
    "d": "decimal clause can only be used on integers",
    "f": "fixed-point clause can only be used on doubles",
    "e": "scientific clause can only be used on doubles",
    "b": "only integers and bools can be formatted as binary",
    "o": "octal clause can only be used on integers",
    "x": "only integers, byte buffers, and strings can be formatted as hex",
    "s": "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps",
}


def format_text(template: str, args: list[Any]) -> str:
    """`%` clauses as version 2 of cel-go's string library has them: doubles are written as people write them."""
    position = 0

    def clause(match: re.Match[str]) -> str:
        nonlocal position
        if match[0] == "%%":
            return "%"
        if position >= len(args):
            raise CelError(f"index {position} out of range")
        if match[3] or match[1] == "":
            why = "could not find end of precision specifier"
            if match[2]:
                why = 'error while converting precision to integer: strconv.Atoi: parsing "": invalid syntax'
            raise CelError(f"could not parse formatting clause: error while parsing precision: {why}")
        if not match[2]:
            raise CelError("unexpected end of string")
        if match[2] not in "sdfebxXo":
            why = f'unrecognized formatting clause "{match[2]}"'
            raise CelError(f"could not parse formatting clause: {why}")
        value = args[position]
        position += 1
        return _clause(match[2], value, match[1])

    return _CLAUSE.sub(clause, template)


def _clause(verb: str, value: Any, precision: str | None) -> str:
    kind = type(value)
    if verb == "s" and kind in _SHOWN:
        return _SHOWN[kind](value)
    if verb in "dboxX" and kind in (int, Uint):
        return f"{int(value):{verb}}"
    if verb in "fe":
        number = float(value) if value in ("NaN", "Infinity", "-Infinity") else value
        if type(number) is float:
            return _double(verb, number, int(precision or 6))
    if verb == "b" and kind is bool:
        return "1" if value else "0"
    if verb in "xX" and kind in (str, bytes):
        digits: str = (value.encode() if kind is str else value).hex()
        return digits.upper() if verb == "X" else digits
    raise CelError(f"error during formatting: {ONLY[verb.lower()]}, was given {type_value(value).name}")


def _double(verb: str, number: float, digits: int) -> str:
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "∞" if number > 0 else "-∞"
    if verb == "f":
        return f"{number:,.{digits}f}"
    mantissa, _, exponent = f"{number:e}".partition("e")
    return f"{mantissa}×10{exponent.removeprefix('+').translate(_RAISED)}"


def _literal(value: Any) -> str:
    """A value within a list or a map: as one would write it in an expression."""
    kind = type(value)
    if kind in (str, bytes):
        quoted = quote(to_string(value))
        return quoted if kind is str else f"b{quoted}"
    if kind is float:
        return f"{value:.6f}" if math.isfinite(value) else f'"{_go_infinite(value)}"'
    if kind in (Timestamp, Duration):
        return f'{"timestamp" if kind is Timestamp else "duration"}("{value}")'
    if kind in _SHOWN:
        return _SHOWN[kind](value)
    raise CelError(f"error during formatting: no formatting function for {type_value(value).name}")


def _go_infinite(number: float) -> str:
    return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"


def _entries(value: dict[Any, Any]) -> str:
    for key in value:
        if type(key) not in (str, bool, int, Uint):
            what = f"no formatting function for map key of type {type_value(key).name}"
            raise CelError(f"error during formatting: {what}")
    shown = sorted((_literal(key), _literal(inner)) for key, inner in value.items())
    return "{" + ", ".join(f"{key}:{inner}" for key, inner in shown) + "}"


def _items(value: list[Any]) -> str:
    return f"[{', '.join(map(_literal, value))}]"


_SHOWN: dict[type, Callable[[Any], str]] = {
    **dict.fromkeys(
        (str, bool, bytes, int, Uint, float, Timestamp, Duration), lambda value: to_string(value)
    ),
    **dict.fromkeys((list, values.SetList, values.MapList), _items),
    dict: _entries,
    type(None): lambda value: "null",
    TypeValue: lambda value: value.name,
}


# -- lists -------------------------------------------------------------------------------------------------------------

_less = _compare(lambda a, b: a < b)


def is_sorted(items: list[Any]) -> bool:
    return not any(_less(b, a) for a, b in zip(items, items[1:]))


def total_of(type_name: str) -> Function:
    """What `sum` is for a list whose elements have that type: of none, its zero."""
    nothing: Any = {"double": 0.0, "uint": Uint(0), "duration": Duration(0)}.get(type_name, 0)

    def total(items: list[Any]) -> Any:
        if any(type(item) not in (int, Uint, float, Duration) for item in items):
            raise no_overload()
        return functools.reduce(add, items) if items else nothing

    return total


def _extreme(name: str, better: Callable[[Any, Any], bool]) -> Function:
    def extreme(items: list[Any]) -> Any:
        if not items:
            raise CelError(f"{name} called on empty list")
        best = items[0]
        for item in items[1:]:
            if better(item, best):
                best = item
        return best

    return extreme


def is_in(item: Any, items: Any) -> bool:
    if isinstance(items, dict):
        return hashable(item) and item in items
    if isinstance(items, list):
        return values.contains(items, item)
    raise no_overload()


def slice_of(items: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise CelError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise CelError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if end > len(items):
        raise CelError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


def flatten(items: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise CelError("level must be non-negative")
    found: list[Any] = []
    for item in items:
        if isinstance(item, list) and depth:
            found += flatten(item, depth - 1)
        else:
            found.append(item)
    return found


def distinct(items: list[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if not values.contains(found, item):
            found.append(item)
    return found


def sort_by(items: list[Any], keys: list[Any]) -> list[Any]:
    if any(type(key) not in _ORDERED for key in keys):
        raise CelError("list elements must be comparable")

    def order(a: int, b: int) -> int:
        return -1 if _less(keys[a], keys[b]) else 1 if _less(keys[b], keys[a]) else 0

    return [items[index] for index in sorted(range(len(items)), key=functools.cmp_to_key(order))]


def insert(into: dict[Any, Any], *given: Any) -> dict[Any, Any]:
    """A key with its value, or a whole map."""
    made = dict(into)
    for key, value in [given] if len(given) == 2 else given[0].items():
        if key in made:
            raise CelError(f"insert failed: key {text_of(key)} already exists")
        made[key] = value
    return made


def non_zero(value: Any) -> Optional:
    empty = (
        value is None
        or value is False
        or (isinstance(value, (str, bytes, list, dict, int, float)) and not value)
        or (type(value) is Duration and not value.nanos)
        or (type(value) is Timestamp and value.nanos == YEAR_1)
    )
    return NONE if empty else Optional(True, value)


# -- Kubernetes' own ---------------------------------------------------------------------------------------------------


def _is(parse: Callable[..., Any]) -> Function:
    def check(*args: Any) -> bool:
        try:
            parse(*args)
        except ValueError:
            return False
        return True

    return check


def _ip_or_text(value: Any) -> Ip:
    try:
        return value if type(value) is Ip else Ip.parse(_text(value))
    except ValueError:
        raise no_overload() from None


def _cidr_or_text(value: Any) -> Cidr:
    try:
        return value if type(value) is Cidr else Cidr.parse(_text(value))
    except ValueError as error:
        raise CelError(str(error)) from None


def _zone(value: Any) -> Any:
    if type(value) is Timestamp:
        return value
    raise no_overload()


def _of_time(read: Callable[[Any], int]) -> Function:
    return lambda value, zone="UTC": read(_zone(value).at(zone))


def _of_time_or_duration(read: Callable[[Any], int], unit: int) -> Function:
    def run(value: Any, zone: str = "UTC") -> int:
        if type(value) is Duration:
            return int(math.trunc(Fraction(value.nanos, unit)))
        return read(_zone(value).at(zone))

    return run


def _milliseconds(value: Any, zone: str = "UTC") -> int:
    if type(value) is Duration:
        return int(math.trunc(Fraction(value.nanos, 10**6)))
    return int(_zone(value).nanos % NANO // 10**6)


def _quantity(value: Any) -> Quantity:
    if type(value) is Quantity:
        return value
    if type(value) is int:
        return Quantity(Fraction(value))
    raise no_overload()


def _is_integer(value: Quantity) -> bool:
    """The greatest number stands for all that are greater."""
    return bool(value.number.denominator == 1 and -INT_MAX < value.number < INT_MAX)


def _as_integer(value: Quantity) -> int:
    if not _is_integer(value):
        raise CelError("cannot convert value to integer")
    return int(value.number)


def _ordered(value: Any) -> Any:
    if type(value) is Quantity:
        return value.number
    if type(value) is Semver:
        return value.order
    raise no_overload()


def _pattern_check(format_: str, message: str) -> Callable[[str], list[str]]:
    def check(text: str) -> list[str]:
        from ..crd import formats

        return [] if formats.holds(format_, text) else [message]

    return check


def _prefix(check: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    return lambda text: check(text[:-1] + "a" if text.endswith("-") else text)


FORMATS: dict[str, Format] = {
    name: Format(name, check, size)
    for name, (check, size) in {
        "dns1123Label": (names.dns1123_label, 30),
        "dns1123Subdomain": (names.dns1123_subdomain, 60),
        "dns1035Label": (names.dns1035_label, 30),
        "qualifiedName": (names.qualified_name, 60),
        "dns1123LabelPrefix": (_prefix(names.dns1123_label), 30),
        "dns1123SubdomainPrefix": (_prefix(names.dns1123_subdomain), 60),
        "dns1035LabelPrefix": (_prefix(names.dns1035_label), 30),
        "labelValue": (names.label_value, 40),
        "uri": (_pattern_check("uri", "invalid URI"), 1103),
        "uuid": (_pattern_check("uuid", "does not match the UUID format"), 70),
        "byte": (_pattern_check("byte", "invalid base64"), 84),
        "date": (_pattern_check("date", "invalid date"), 71),
        "datetime": (_pattern_check("date-time", "invalid datetime"), 71),
    }.items()
}


def _validate(format_: Format, text: str) -> Optional:
    found = format_.check(text)
    return Optional(True, found) if found else NONE


def _method(name: str) -> Function:
    """Of the authorizer's values, which bring their own."""

    def call(target: Any, *args: Any) -> Any:
        method = getattr(target, f"cel_{name}", None)
        if method is None:
            raise no_overload()
        return method(*args)

    return call


FUNCTIONS: dict[str, Function] = {
    "_==_": equal,
    "_!=_": lambda a, b: not equal(a, b),
    "_<_": _less,
    "_<=_": _compare(lambda a, b: a <= b),
    "_>_": _compare(lambda a, b: a > b),
    "_>=_": _compare(lambda a, b: a >= b),
    "@in": is_in,
    "_+_": add,
    "_-_": subtract,
    "_*_": multiply,
    "_/_": divide,
    "_%_": modulo,
    "-_": negate,
    "!_": invert,
    "cel.@mapInsert": insert,
    "size": size,
    "int": to_int,
    "uint": to_uint,
    "double": to_double,
    "string": to_string,
    "bytes": lambda value: value if type(value) is bytes else _text(value).encode(),
    "bool": to_bool,
    "timestamp": _tried(to_timestamp, "type conversion error from 'string' to 'google.protobuf.Timestamp'"),
    "duration": _tried(to_duration, "type conversion error from 'string' to 'google.protobuf.Duration'"),
    "dyn": lambda value: value,
    "type": type_value,
    "contains": lambda text, part: _text(part) in _text(text),
    "startsWith": lambda text, part: _text(text).startswith(_text(part)),
    "endsWith": lambda text, part: _text(text).endswith(_text(part)),
    "matches": lambda text, expression: pattern(expression).search(_text(text)) is not None,
    "getFullYear": _of_time(lambda t: t.year),
    "getMonth": _of_time(lambda t: t.month - 1),
    "getDate": _of_time(lambda t: t.day),
    "getDayOfMonth": _of_time(lambda t: t.day - 1),
    "getDayOfWeek": _of_time(lambda t: t.isoweekday() % 7),
    "getDayOfYear": _of_time(lambda t: t.timetuple().tm_yday - 1),
    "getHours": _of_time_or_duration(lambda t: t.hour, 3600 * NANO),
    "getMinutes": _of_time_or_duration(lambda t: t.minute, 60 * NANO),
    "getSeconds": _of_time_or_duration(lambda t: t.second, NANO),
    "getMilliseconds": _milliseconds,
    "charAt": char_at,
    "indexOf": index_of,
    "lastIndexOf": last_index_of,
    "join": join,
    "lowerAscii": lambda text: _text(text).translate(_LOWER),
    "upperAscii": lambda text: _text(text).translate(_UPPER),
    "replace": lambda text, old, new, limit=-1: _text(text).replace(old, new, limit),
    "split": split,
    "substring": substring,
    "trim": lambda text: _text(text).strip(_SPACE),
    "format": format_text,
    "strings.quote": quote,
    "find": find,
    "findAll": find_all,
    "isSorted": is_sorted,
    "sum": total_of("int"),
    "min": _extreme("min", _less),
    "max": _extreme("max", lambda a, b: _less(b, a)),
    "slice": slice_of,
    "flatten": flatten,
    "distinct": distinct,
    "reverse": lambda items: items[::-1],
    "sort": lambda items: sort_by(items, items),
    "first": lambda items: Optional(True, items[0]) if items else NONE,
    "last": lambda items: Optional(True, items[-1]) if items else NONE,
    "lists.range": lambda count: list(range(count)),
    "@sortByAssociatedKeys": sort_by,
    "sets.contains": lambda a, b: all(values.contains(a, item) for item in b),
    "sets.equivalent": lambda a, b: (
        all(values.contains(a, i) for i in b) and all(values.contains(b, i) for i in a)
    ),
    "sets.intersects": lambda a, b: any(values.contains(b, item) for item in a),
    "optional.of": lambda value: Optional(True, value),
    "optional.ofNonZeroValue": non_zero,
    "optional.none": lambda: NONE,
    "hasValue": lambda value: value.present,
    "value": lambda value: value.get(),
    "url": _tried(Url.parse),
    "isURL": _is(Url.parse),
    "getScheme": lambda url: url.scheme,
    "getHost": lambda url: url.host,
    "getHostname": lambda url: url.hostname,
    "getPort": lambda url: url.port,
    "getEscapedPath": lambda url: url.path,
    "getQuery": lambda url: url.query,
    "ip": _tried(lambda value: Ip(value.network.ip) if type(value) is Cidr else Ip.parse(value)),
    "isIP": _is(Ip.parse),
    "ip.isCanonical": _tried(lambda text: str(Ip.parse(text)) == text),
    "family": lambda ip: ip.address.version,
    "isUnspecified": lambda ip: ip.address.is_unspecified,
    "isLoopback": lambda ip: ip.address.is_loopback,
    "isLinkLocalMulticast": lambda ip: (
        ip.address.is_multicast
        and str(ip.address).startswith(("224.0.0.", "ff02:", "ff12:", "ff22:", "ff32:"))
    ),
    "isLinkLocalUnicast": lambda ip: ip.address.is_link_local,
    "isGlobalUnicast": lambda ip: (
        not (
            ip.address.is_unspecified
            or ip.address.is_loopback
            or ip.address.is_multicast
            or ip.address.is_link_local
            or str(ip.address) == "255.255.255.255"
        )
    ),
    "cidr": _tried(Cidr.parse),
    "isCIDR": _is(Cidr.parse),
    "containsIP": lambda cidr, ip: cidr.contains_ip(_ip_or_text(ip)),
    "containsCIDR": lambda cidr, other: cidr.contains(_cidr_or_text(other)),
    "masked": lambda cidr: cidr.masked,
    "prefixLength": lambda cidr: cidr.network.network.prefixlen,
    "quantity": _tried(values.parse_quantity),
    "isQuantity": _is(values.parse_quantity),
    "isInteger": _is_integer,
    "asInteger": _as_integer,
    "asApproximateFloat": lambda q: float(q.number),
    "sign": lambda q: (q.number > 0) - (q.number < 0),
    "add": lambda a, b: a + _quantity(b),
    "sub": lambda a, b: a - _quantity(b),
    "isGreaterThan": lambda a, b: _ordered(a) > _ordered(b),
    "isLessThan": lambda a, b: _ordered(a) < _ordered(b),
    "compareTo": lambda a, b: (_ordered(a) > _ordered(b)) - (_ordered(a) < _ordered(b)),
    "semver": _tried(Semver.parse),
    "isSemver": _is(Semver.parse),
    "major": lambda version: version.numbers[0],
    "minor": lambda version: version.numbers[1],
    "patch": lambda version: version.numbers[2],
    "format.named": lambda name: Optional(True, FORMATS[name]) if name in FORMATS else NONE,
    **{f"format.{name}": functools.partial(FORMATS.__getitem__, name) for name in FORMATS},
    "validate": _validate,
    "jsonpatch.escapeKey": lambda text: _text(text).replace("~", "~0").replace("/", "~1"),
    **{
        name: _method(name)
        for name in (
            "path group serviceAccount resource subresource namespace name fieldSelector labelSelector check allowed reason errored error"
        ).split()
    },
}
