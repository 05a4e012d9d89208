"""Conditions, variables and the other expressions of policies: that they are there, have names, and compile."""

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


def match_conditions(
    errors: FieldErrors, conditions: list[Object], path: str, *, params: bool = False
) -> None:
    if len(conditions) > _CONDITIONS_MAX:
        errors.too_many(path, len(conditions), _CONDITIONS_MAX)
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        at, name = f"{path}[{index}]", condition.get("name") or ""
        expression = (condition.get("expression") or "").strip()
        if not expression:
            errors.required(f"{at}.expression")
        else:
            _compile(errors, expression, params, f"{at}.expression")
        if name:
            errors.messages(f"{at}.name", name, metadata.qualified_name(name))
            if name in seen:
                errors.duplicate(f"{at}.name", name)
            seen.add(name)
        else:
            errors.required(f"{at}.name")


def _compile(errors: FieldErrors, expression: str, params: bool, path: str) -> None:
    from .. import policies  # CEL is loaded when there is an expression

    try:
        policies.condition(expression, params)
    except policies.ExpressionError as error:
        errors.invalid(path, expression, str(error))


Problems = dict[str, tuple[str, str]]
"""Path of an expression that does not compile -> (its text, what is wrong)."""


def problems_of(spec: Object, path: str) -> Problems:
    """Of all expressions of a policy but its match conditions."""
    from .. import policies

    return {f"{path}.{below}": (text, problem) for below, text, problem in policies.check(spec)}


def report(errors: FieldErrors, problems: Problems, path: str) -> None:
    if path in problems:
        errors.invalid(path, *problems[path])


def variables(errors: FieldErrors, listed: list[Object], path: str, problems: Problems) -> None:
    for index, variable in enumerate(listed):
        at, name = f"{path}[{index}]", variable.get("name") or ""
        if not name.strip():
            errors.required(f"{at}.name", "name is not specified")
        elif not _IDENTIFIER.fullmatch(name) or name in _RESERVED:
            errors.invalid(f"{at}.name", name, "must be a valid CEL identifier")
        if not (variable.get("expression") or "").strip():
            errors.required(f"{at}.expression", "expression is not specified")
        report(errors, problems, f"{at}.expression")
