"""What each call costs when it runs: cel-go's figures for its own functions, Kubernetes' for its libraries (apiserver/pkg/cel/library/cost.go).

A unit is about 50 ns of the real server's time. Everything else costs what `runtime.py` says beside each kind of node.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..quantity import Quantity
from .functions import Overload
from .types import BYTES, STRING
from .values import Cidr, Format, Ip, Optional, Semver, Url

Charge = Callable[[list[Any], Any], int]
"""Of the arguments, errors among them, and the result."""

TRAVERSAL, REGEX = 0.1, 0.25
LIST, MAP, STRUCT = 10, 30, 40
CHECK = 350_000  # of an authorizer: two in an expression, no more
REQUIREMENT = LIST + STRUCT  # of a selector, of which every second character may begin one
_UNIT_EQUALITY = (Quantity, Ip, Cidr, Url, Semver, Format)


def size(value: Any) -> int:
    if isinstance(value, (str, bytes, list, dict)):
        return len(value)
    if type(value) is Ip:
        return value.address.max_prefixlen // 8
    if type(value) is Cidr:
        return math.ceil(value.network.network.prefixlen / 8)
    if type(value) is Optional and value.present:
        return size(value.value)
    return 1


def read(value: Any, times: int = 1) -> int:
    return math.ceil(size(value) * times * TRAVERSAL)


def selector(length: int) -> int:
    return LIST + math.ceil(length * TRAVERSAL) + math.ceil(math.ceil(length * 0.5) * REQUIREMENT)


def _walked(value: Any) -> int:
    if isinstance(value, (str, bytes)):
        return int(len(value.encode() if isinstance(value, str) else value) * TRAVERSAL)
    if isinstance(value, list):
        return sum(map(_walked, value))
    if isinstance(value, dict):
        return sum(_walked(key) + _walked(inner) for key, inner in value.items())
    return 1


def _searched(text: Any, pattern_size: int) -> int:
    return math.ceil((1.0 + size(text)) * TRAVERSAL) * math.ceil(pattern_size * REGEX)


def _equality(args: list[Any], result: Any) -> int:
    if isinstance(args[0], _UNIT_EQUALITY):
        return 1
    return math.ceil(min(size(args[0]), size(args[1])) * TRAVERSAL)


def _within(args: list[Any], extra: int, as_text: bool) -> int:
    prefix = size(args[0])
    cost = math.ceil((prefix + prefix) * TRAVERSAL) + extra
    return cost + read(args[1]) if as_text else cost


def _made(factor: float, length: int) -> int:
    return int(length * factor) + 1 + LIST


def _compared(items: Any) -> int:
    """All with all."""
    length = size(items)
    text = isinstance(items, list) and bool(items) and isinstance(items[0], (str, bytes))
    return _made(2.0 + (TRAVERSAL if text else 0), length * length)


_FIRST: Charge = lambda args, result: read(args[0])  # noqa: E731
_TWICE: Charge = lambda args, result: read(args[0], 2)  # noqa: E731
_WALK: Charge = lambda args, result: _walked(args[0])  # noqa: E731
_REGEX: Charge = lambda args, result: _searched(args[0], size(args[1]))  # noqa: E731
_LESSER: Charge = lambda args, result: math.ceil(min(size(args[0]), size(args[1])) * TRAVERSAL)  # noqa: E731
_OUTPUT: Charge = lambda args, result: _made(1, size(result))  # noqa: E731
_SELECTOR: Charge = lambda args, result: selector(size(args[1]))  # noqa: E731

_BY_FUNCTION: dict[str, Charge] = {
    "check": lambda args, result: CHECK,
    "fieldSelector": _SELECTOR,
    "labelSelector": _SELECTOR,
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _WALK),
    **dict.fromkeys("url lowerAscii upperAscii substring trim jsonpatch.escapeKey".split(), _FIRST),
    **dict.fromkeys("cidr isIP isCIDR quantity isQuantity semver isSemver".split(), _FIRST),
    **dict.fromkeys(("startsWith", "endsWith", "strings.quote", "format"), _FIRST),
    **dict.fromkeys(("replace", "split", "ip.isCanonical"), _TWICE),
    "join": lambda args, result: read(result, 2),
    "find": _REGEX,
    "findAll": _REGEX,
    "validate": lambda args, result: _searched(args[1], getattr(args[0], "pattern_size", 1)),
    "contains": lambda args, result: read(args[0]) * read(args[1]),
    "_==_": _equality,
    "_!=_": _LESSER,
    "sets.contains": lambda args, result: 1 + size(args[0]) * size(args[1]),
    "sets.intersects": lambda args, result: 1 + size(args[0]) * size(args[1]),
    "sets.equivalent": lambda args, result: 1 + size(args[0]) * size(args[1]) * 2,
}

_BY_FORM: dict[str, Charge] = {
    **dict.fromkeys(("slice", "reverse", "lists.range"), _OUTPUT),
    "flatten": lambda args, result: _made(args[1] if len(args) > 1 else 1, size(args[0])),
    "distinct": lambda args, result: _compared(args[0]),
    "sort": lambda args, result: _compared(args[0]),
    "@sortByAssociatedKeys": lambda args, result: _compared(args[1]),
}
"""Where the types of the arguments leave one form of the function."""


def charge_of(function: str, form: Overload | None) -> Charge | None:
    """`form`: the only one that the arguments fit, if there is one. None: the call costs one."""
    found = _BY_FUNCTION.get(function)
    if found is not None:
        return found
    first = form.params[0] if form is not None and form.params else None
    if function in ("containsIP", "containsCIDR"):
        as_text = form is not None and form.params[1] == STRING
        if function == "containsIP":
            return lambda args, result: _within(args, 0, as_text)
        return lambda args, result: _within(args, read(args[0]) + 1, as_text)
    if function == "ip":
        return None if first is not None and first.name == "net.CIDR" else _FIRST
    if first is None or form is None:
        return None
    if function in ("_<_", "_<=_", "_>_", "_>=_"):
        return _LESSER if first in (STRING, BYTES) else None
    if function == "_+_":
        if first in (STRING, BYTES):
            return lambda args, result: math.ceil((size(args[0]) + size(args[1])) * TRAVERSAL)
        return None
    if function == "@in":
        return (lambda args, result: size(args[1])) if form.params[1].name == "list" else None
    if function in ("bytes", "string"):
        return _FIRST if first == (STRING if function == "bytes" else BYTES) else None
    if function == "matches":
        return _REGEX if form.member else None
    return _BY_FORM.get(function)
