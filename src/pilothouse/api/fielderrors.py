"""Field errors: what is wrong with which field, in Kubernetes' words (apimachinery/pkg/util/validation/field).

A validator gets a `FieldErrors` and adds to it; paths are strings (`spec.containers[0].name`). The order of adding is the order that a
client sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import orjson

from .errors import Cause

_ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&"}
OMIT = object()
"""As a value: the message shows none."""


def shown(value: Any) -> str:
    """A value inside a message, as Go prints it: strings quoted, numbers bare, everything else as JSON."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return go_float(value)
    if isinstance(value, int):
        return str(value)
    return orjson.dumps(_ordered(value)).decode().translate(_ESCAPED)


def go_float(value: float) -> str:
    """strconv.FormatFloat(v, 'g', -1), which is also %v: the shortest that reads back as the same, with an exponent from 1e+06 on."""
    if math.isnan(value) or math.isinf(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    point = len(text) + exponent  # where it stands in the digits
    shown = "-" if sign else ""
    if text == "0":
        return f"{shown}0"
    if not -4 < point <= 6:
        fraction = f".{text[1:]}" if len(text) > 1 else ""
        return f"{shown}{text[0]}{fraction}e{point - 1:+03d}"
    if point <= 0:
        return f"{shown}0.{'0' * -point}{text}"
    return shown + (text.ljust(point, "0") if len(text) <= point else f"{text[:point]}.{text[point:]}")


class InOrder(dict[str, Any]):
    """A struct whose members stand as they shall be shown."""


# Structs whose members do not stand in the order of the alphabet. Maps do, and what else is shown.
_STRUCTS = (
    ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"),
    ("matchLabels", "matchExpressions"),
    ("Key", "Value", "Effect", "TimeAdded"),
    ("Type", "Address"),
    ("ScopeName", "Operator", "Values"),
    ("Name", "Protocol", "AppProtocol", "Port", "TargetPort", "NodePort"),
)


def _ordered(value: Any) -> Any:
    if isinstance(value, InOrder):
        return {key: _ordered(one) for key, one in value.items()}
    if isinstance(value, dict):
        order = next((s for s in _STRUCTS if s[0] in value and value.keys() <= set(s)), None) or sorted(value)
        return {key: _ordered(value[key]) for key in order if key in value}
    return [_ordered(one) for one in value] if isinstance(value, list) else value


def quoted(text: str) -> str:
    """Go's %q."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _CONTROLS.get(c) or _escaped(ord(c)) for c in text)
    return f'"{text}"'


_CONTROLS = dict(zip("\a\b\f\n\r\t\v", ("\\a", "\\b", "\\f", "\\n", "\\r", "\\t", "\\v"), strict=True))


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class FieldErrors(list[Cause]):
    """The causes of one 422, in order."""

    of_patch = False
    """What is checked came of a patch: what it emptied is there and empty, and not absent."""

    def required(self, path: str, detail: str = "") -> None:
        self._add("FieldValueRequired", path, "Required value", detail)

    def invalid(self, path: str, value: Any, detail: str) -> None:
        body = "Invalid value" if value is OMIT else f"Invalid value: {shown(value)}"
        self._add("FieldValueInvalid", path, body, detail)

    def type_invalid(self, path: str, value: Any, detail: str) -> None:
        self._add("FieldValueTypeInvalid", path, f"Invalid value: {shown(value)}", detail)

    def not_supported(self, path: str, value: Any, allowed: Iterable[str]) -> None:
        """`allowed` is shown in its order; a set sorted."""
        ordered = sorted(allowed) if isinstance(allowed, (set, frozenset)) else allowed
        listed = ", ".join(quoted(one) for one in ordered)
        detail = f"supported values: {listed}" if listed else ""
        self._add("FieldValueNotSupported", path, f"Unsupported value: {shown(value)}", detail)

    def choice(self, path: str, value: Any, allowed: Iterable[str]) -> None:
        """Required, and one of `allowed`."""
        if not value:
            self.required(path)
        elif value not in allowed:
            self.not_supported(path, value, allowed)

    def forbidden(self, path: str, detail: str) -> None:
        self._add("FieldValueForbidden", path, "Forbidden", detail)

    def duplicate(self, path: str, value: Any, detail: str = "") -> None:
        self._add("FieldValueDuplicate", path, f"Duplicate value: {shown(value)}", detail)

    def not_found(self, path: str, value: Any, detail: str = "") -> None:
        self._add("FieldValueNotFound", path, f"Not found: {shown(value)}", detail)

    def too_long(self, path: str, length: int) -> None:
        self._add("FieldValueTooLong", path, "Too long", f"may not be more than {length} bytes")

    def too_many(self, path: str, count: int, most: int) -> None:
        items = "item" if most == 1 else "items"
        self._add("FieldValueTooMany", path, f"Too many: {count}", f"must have at most {most} {items}")

    def internal(self, path: str, detail: str) -> None:
        self._add("InternalError", path, "Internal error", detail)

    def messages(self, path: str, value: Any, messages: Iterable[str]) -> None:
        """One `invalid` for each message of a check of `names.py`."""
        for message in messages:
            self.invalid(path, value, message)

    def _add(self, reason: str, path: str, body: str, detail: str) -> None:
        self.append(Cause(reason, f"{body}: {detail}" if detail else body, path))
