"""What claims for devices and slices of them share: names, and lists of limited length."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from . import metadata
from .volume_sources import csi_driver_name

_DOMAIN_LENGTH_MAX, _ID_LENGTH_MAX = 63, 32
_BINDING_CONDITIONS_MAX = 4

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}")

Check = Callable[[FieldErrors, Any, str], None]


def each_of(errors: FieldErrors, items: Iterable[Any] | None, most: int, check: Check, path: str) -> bool:
    """False: there are too many, none was looked at."""
    listed = list(items or ())
    if len(listed) > most >= 0:
        errors.too_many(path, len(listed), most)
        return False
    for index, item in enumerate(listed):
        check(errors, item, f"{path}[{index}]")
    return True


def set_of(
    errors: FieldErrors,
    items: list[Any] | None,
    most: int,
    check: Check,
    path: str,
    key: Callable[[Any], Any] = lambda item: item.get("name") or "",
    show: Callable[[Any], Any] = lambda key: key,
) -> None:
    if not each_of(errors, items, most, check, path):
        return
    seen = set()
    for index, item in enumerate(items or ()):
        if key(item) in seen:
            errors.duplicate(f"{path}[{index}]", show(key(item)))
        seen.add(key(item))


def uid(errors: FieldErrors, value: str, path: str) -> None:
    if not _UUID.fullmatch(value.lower()):
        wrong = "invalid UUID format" if len(value) in (32, 36) else f"invalid UUID length: {len(value)}"
        errors.invalid(path, value, f"error validating uid: {wrong}")
    elif len(value) != 36 or value != value.lower():
        why = (
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal "
            "characters"
        )
        errors.invalid(path, value, why)


def label(errors: FieldErrors, value: str, path: str) -> None:
    errors.messages(path, value, names.dns1123_label(value))


def label_name(errors: FieldErrors, value: str, path: str) -> None:
    errors.messages(path, value, metadata.qualified_name(value))


def pool(errors: FieldErrors, value: str, path: str) -> None:
    if not value:
        errors.required(path)
        return
    if len(value) > names.SUBDOMAIN_LENGTH_MAX:
        errors.too_long(path, names.SUBDOMAIN_LENGTH_MAX)
    for part in value.split("/"):
        errors.messages(path, part, names.dns1123_subdomain(part))


def _identifier(errors: FieldErrors, value: str, path: str) -> None:
    if len(value) > _ID_LENGTH_MAX:
        errors.too_long(path, _ID_LENGTH_MAX)
    errors.messages(path, value, names.c_identifier(value))


def qualified(errors: FieldErrors, value: str, path: str, *, fully: bool = False) -> None:
    domain, slash, name = value.rpartition("/")
    if "/" in domain:
        return  # Kubernetes looks at names with one slash at most
    if not slash:
        _identifier(errors, name, path)
        if fully:
            why = "a fully qualified name must be a domain and a name separated by a slash"
            errors.invalid(path, value, why)
    else:
        if domain:
            csi_driver_name(errors, domain, path)
        else:
            errors.invalid(path, "", "the domain must not be empty")
        if name:
            _identifier(errors, name, path)
        else:
            errors.invalid(path, "", "the name must not be empty")


def binding_conditions(errors: FieldErrors, holder: Object, path: str) -> None:
    good, bad = "bindingConditions", "bindingFailureConditions"
    met, failed = holder.get(good) or [], holder.get(bad) or []
    for field, listed in ((good, met), (bad, failed)):
        each_of(errors, listed, _BINDING_CONDITIONS_MAX, label_name, f"{path}.{field}")
    for field, listed in ((good, met), (bad, failed)):
        for index, condition in enumerate(listed):
            if condition in listed[:index]:
                errors.duplicate(f"{path}.{field}[{index}]", condition)
            if field == bad and condition in met:
                why = f"{bad} must not overlap with {good}"
                errors.invalid(f"{path}.{field}[{index}]", condition, why)
    if failed and not met:
        errors.invalid(f"{path}.{good}", None, f"{good} are required to use {bad}")
    if met and not failed:
        errors.invalid(f"{path}.{bad}", None, f"{bad} are required to use {good}")
