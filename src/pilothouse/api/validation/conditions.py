"""`metav1.Condition` and the numbers that several kinds share."""

from __future__ import annotations

import re

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from . import metadata

STATUSES = ("False", "True", "Unknown")
_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_REASON_ERROR = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
    "characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or "
    f"'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '{_REASON.pattern}')"
)
_REASON_LENGTH_MAX, _MESSAGE_LENGTH_MAX = 1024, 32 << 10


def conditions(errors: FieldErrors, listed: list[Object], path: str) -> None:
    seen: set[str] = set()
    for index, condition in enumerate(listed):
        at, type_ = f"{path}[{index}]", condition.get("type") or ""
        if type_ in seen:
            errors.duplicate(f"{at}.type", type_)
        seen.add(type_)
        errors.messages(f"{at}.type", type_, metadata.qualified_name(type_))
        if condition.get("status") not in STATUSES:
            errors.not_supported(f"{at}.status", condition.get("status") or "", STATUSES)
        if (condition.get("observedGeneration") or 0) < 0:
            why = "must be greater than or equal to zero"
            errors.invalid(f"{at}.observedGeneration", condition["observedGeneration"], why)
        if not condition.get("lastTransitionTime"):
            errors.required(f"{at}.lastTransitionTime")
        reason = condition.get("reason") or ""
        if not reason:
            errors.required(f"{at}.reason")
        else:
            if not _REASON.fullmatch(reason):
                errors.invalid(f"{at}.reason", reason, _REASON_ERROR)
            if len(reason) > _REASON_LENGTH_MAX:
                errors.too_long(f"{at}.reason", _REASON_LENGTH_MAX)
        if len(condition.get("message") or "") > _MESSAGE_LENGTH_MAX:
            errors.too_long(f"{at}.message", _MESSAGE_LENGTH_MAX)


def count_or_percent(errors: FieldErrors, value: int | str, path: str) -> None:
    """Not negative; a share of at most all."""
    if isinstance(value, int):
        metadata.not_negative(errors, value, path)
        return
    problems = names.percent(value)
    errors.messages(path, value, problems)
    if not problems and int(value[:-1]) > 100:
        errors.invalid(path, value, "must not be greater than 100%")
