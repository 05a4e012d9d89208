"""What the defaulting functions share."""

from __future__ import annotations

from typing import Any

from ..object import Object
from ..quantity import Quantity, QuantityError, canonical


def put(obj: Object, **values: Any) -> None:
    """Sets what is absent (or null)."""
    for key, value in values.items():
        if obj.get(key) is None:
            obj[key] = value


def put_text(obj: Object, **values: str) -> None:
    """Sets what is absent, null or empty: for fields that are no pointers in Go."""
    for key, value in values.items():
        if not obj.get(key):
            obj[key] = value


def sub(obj: Object, key: str) -> Object:
    """The map at `key`, made when it is not there."""
    value = obj.get(key)
    if not isinstance(value, dict):
        value = obj[key] = {}
    return value


def spec(obj: Object) -> Object:
    return sub(obj, "spec")


def quantities(obj: Object, *keys: str) -> None:
    """Brings the resource lists at these keys into the form that Kubernetes shows; what is no quantity is left to validation."""
    for key in keys:
        values = obj.get(key)
        if isinstance(values, dict):
            for name, value in values.items():
                values[name] = quantity(value, name)


def quantity(value: Any, resource: str = "") -> Any:
    try:
        text = canonical(str(value))
        if resource and text[-1:] in ("n", "u"):  # resources are counted in thousandths, rounded up
            return str(Quantity.parse(f"{Quantity.parse(text).milli_value()}m"))
        return text
    except QuantityError:
        return value
