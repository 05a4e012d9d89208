"""Conditions and variables in CEL: that they are there and have names. Whether they compile is asked in `admission_policies` and here as
soon as there is a compiler."""

from __future__ import annotations

import re

from ..fielderrors import FieldErrors
from ..object import Object
from . import metadata

_CONDITIONS_MAX = 64
_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_RESERVED = frozenset(
    "true false null in as break const continue else for function if import let loop package namespace return var void "
    "while".split()
)


def match_conditions(errors: FieldErrors, conditions: list[Object], path: str) -> None:
    if len(conditions) > _CONDITIONS_MAX:
        errors.too_many(path, len(conditions), _CONDITIONS_MAX)
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        at, name = f"{path}[{index}]", condition.get("name") or ""
        if not (condition.get("expression") or "").strip():
            errors.required(f"{at}.expression")
        if name:
            errors.messages(f"{at}.name", name, metadata.qualified_name(name))
            if name in seen:
                errors.duplicate(f"{at}.name", name)
            seen.add(name)
        else:
            errors.required(f"{at}.name")


def variables(errors: FieldErrors, listed: list[Object], path: str) -> None:
    for index, variable in enumerate(listed):
        at, name = f"{path}[{index}]", variable.get("name") or ""
        if not name.strip():
            errors.required(f"{at}.name")
        elif not _IDENTIFIER.fullmatch(name) or name in _RESERVED:
            errors.invalid(f"{at}.name", name, "must be a valid CEL identifier")
        if not (variable.get("expression") or "").strip():
            errors.required(f"{at}.expression", "expression is not specified")
