"""Secrets, ConfigMaps and ServiceAccounts."""

from __future__ import annotations

import base64
from typing import Any

from .. import names
from ..decode_text import SyntaxFailure, parse_json
from ..fielderrors import FieldErrors
from ..object import Object
from . import metadata
from .validator import kind

SIZE_MAX = 1 << 20
_ACCOUNT = "kubernetes.io/service-account.name"
_FROZEN = "field is immutable when `immutable` is set"
_DOCKER = {"kubernetes.io/dockercfg": ".dockercfg", "kubernetes.io/dockerconfigjson": ".dockerconfigjson"}


def _size(encoded: str) -> int:
    """Of what a base64 text stands for."""
    return len(encoded) * 3 // 4 - encoded[-2:].count("=")


def _keys(errors: FieldErrors, data: dict[str, str], path: str) -> None:
    for key in data:
        errors.messages(f"{path}[{key}]", key, names.config_map_key(key))


def _secret(errors: FieldErrors, new: Object, old: Object | None) -> None:
    data: dict[str, str] = new.get("data") or {}
    _keys(errors, data, "data")
    if sum(map(_size, data.values())) > SIZE_MAX:
        errors.too_long("data", SIZE_MAX)
    match new.get("type"):
        case "kubernetes.io/service-account-token":
            if not (new["metadata"].get("annotations") or {}).get(_ACCOUNT):
                errors.required(f"metadata.annotations[{_ACCOUNT}]")
        case "kubernetes.io/dockercfg" | "kubernetes.io/dockerconfigjson" as type_:
            _docker(errors, data, _DOCKER[type_])
        case "kubernetes.io/basic-auth":
            if "username" not in data and "password" not in data:
                errors.required("data[username]")
                errors.required("data[password]")
        case "kubernetes.io/ssh-auth":
            if not data.get("ssh-privatekey"):
                errors.required("data[ssh-privatekey]")
        case "kubernetes.io/tls":
            for key in ("tls.crt", "tls.key"):
                if key not in data:
                    errors.required(f"data[{key}]")


def _docker(errors: FieldErrors, data: dict[str, str], key: str) -> None:
    if key not in data:
        errors.required(f"data[{key}]")
        return
    text = base64.b64decode(data[key])
    try:
        value = parse_json(text, find_duplicates=False).value
    except SyntaxFailure as failure:
        errors.invalid(f"data[{key}]", "<secret contents redacted>", str(failure))
        return
    if not isinstance(value, dict) and value is not None:
        kind_ = {str: "string", bool: "bool", list: "array"}.get(type(value), "number")
        why = f"json: cannot unmarshal {kind_} into Go value of type map[string]interface {{}}"
        errors.invalid(f"data[{key}]", "<secret contents redacted>", why)


def _frozen(errors: FieldErrors, new: Object, old: Object, fields: tuple[str, ...]) -> None:
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        errors.forbidden("immutable", _FROZEN)
    for field in fields:
        if (new.get(field) or None) != (old.get(field) or None):
            errors.forbidden(field, _FROZEN)


def _secret_change(errors: FieldErrors, new: Object, old: Object) -> None:
    metadata.immutable(errors, new.get("type"), old.get("type"), "type")
    _frozen(errors, new, old, ("data",))


def _config_map(errors: FieldErrors, new: Object, old: Object | None) -> None:
    data, binary = new.get("data") or {}, new.get("binaryData") or {}
    for key in data:
        if problems := names.config_map_key(key):
            errors.messages(f"data[{key}]", key, problems)
        if key in binary:
            errors.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    if binary:
        _keys(errors, binary, "binaryData")
    size = sum(map(len, data.values())) + sum(map(_size, binary.values()))
    if size > SIZE_MAX // 4:  # only then may the bytes be more than allowed
        size = sum(_bytes(value) for value in data.values()) + sum(map(_size, binary.values()))
        if size > SIZE_MAX:
            errors.too_long("", SIZE_MAX)


def _bytes(value: Any) -> int:
    return len(value.encode())


def _config_map_change(errors: FieldErrors, new: Object, old: Object) -> None:
    _frozen(errors, new, old, ("data", "binaryData"))


SECRET = kind(_secret, "uxcb", change=_secret_change)
CONFIG_MAP = kind(_config_map, "uxcb", change=_config_map_change)
SERVICE_ACCOUNT = kind()
