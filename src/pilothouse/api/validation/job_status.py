"""A Job's status: the counts, the indexes, and the conditions with what must come with each of them."""

from __future__ import annotations

import re

from ..fielderrors import OMIT, FieldErrors
from ..object import Object
from . import metadata
from .go_struct import as_go
from .metadata import not_negative

_NUMBER = re.compile(r"\+?[0-9]+")


def true_conditions(status: Object) -> set[str]:
    """The types of the conditions that hold."""
    return {c["type"] for c in status.get("conditions") or () if c.get("status") == "True" and c.get("type")}


def check(errors: FieldErrors, new: Object, old: Object) -> None:
    status = new.get("status") or {}
    for field in ("active", "succeeded", "failed", "ready", "terminating"):
        not_negative(errors, status.get(field), f"status.{field}")
    waiting = status.get("uncountedTerminatedPods") or {}
    seen: set[str] = set()
    for field in ("succeeded", "failed"):
        for index, uid in enumerate(waiting.get(field) or ()):
            at = f"status.uncountedTerminatedPods.{field}[{index}]"
            if not uid:
                errors.invalid(at, uid, "must not be empty")
            elif uid in seen:
                errors.duplicate(at, uid)
            seen.add(uid)
    spec = new.get("spec") or {}
    _end(errors, status, never_ran=bool(spec.get("suspend")) and spec.get("completions") == 0)
    _indexes(errors, spec, status)
    true = true_conditions(status)
    finished = "Complete" in true or "Failed" in true
    if finished and (status.get("terminating") or 0) > 0:
        why = "terminating>0 is invalid for finished job"
        errors.invalid("status.terminating", status["terminating"], why)
    if (ready := status.get("ready")) is not None and ready > (status.get("active") or 0):
        errors.invalid("status.ready", ready, "cannot set more ready pods than active")
    for other, said in (("Failed", "Failed=true"), ("FailureTarget", "FailureTarget=true")):
        if {"SuccessCriteriaMet", other} <= true:
            why = f"cannot set SuccessCriteriaMet=True and {said} conditions"
            errors.invalid("status.conditions", OMIT, why)
    if spec.get("successPolicy") is not None and "Complete" in true and "SuccessCriteriaMet" not in true:
        why = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True"
        errors.invalid("status.conditions", OMIT, why)
    _change(errors, new, old)


def _end(errors: FieldErrors, status: Object, *, never_ran: bool) -> None:
    """What a finished job has, and has not."""
    true, ended, started = true_conditions(status), status.get("completionTime"), status.get("startTime")
    complete, failed, conditions = "Complete" in true, "Failed" in true, "status.conditions"
    if complete and failed:
        errors.invalid(conditions, OMIT, "cannot set Complete=True and Failed=true conditions")
    if complete and "FailureTarget" in true:
        errors.invalid(conditions, OMIT, "cannot set Complete=True and FailureTarget=true conditions")
    if ended and not complete:
        why = "cannot set completionTime when there is no Complete=True condition"
        errors.invalid("status.completionTime", ended, why)
    if complete and not ended:
        errors.required("status.completionTime", "completionTime is required for Complete jobs")
    if started and ended and ended < started:
        errors.invalid("status.completionTime", ended, "must be equal to or after `startTime`")
    if failed and "FailureTarget" not in true:
        why = "cannot set Failed=True condition without the FailureTarget=true condition"
        errors.invalid(conditions, OMIT, why)
    if complete and "SuccessCriteriaMet" not in true:
        why = "cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
        errors.invalid(conditions, OMIT, why)
    if not (complete or failed):
        return
    if (status.get("active") or 0) > 0:
        errors.invalid("status.active", status["active"], "active>0 is invalid for finished job")
    if not started and not never_ran:
        errors.required("status.startTime", "startTime is required for finished job")
    waiting = status.get("uncountedTerminatedPods") or {}
    if waiting.get("succeeded") or waiting.get("failed"):
        shown = as_go("batch.v1.UncountedTerminatedPods", waiting)
        errors.invalid("status.uncountedTerminatedPods", shown, "must be empty for finished job")


def _indexes(errors: FieldErrors, spec: Object, status: Object) -> None:
    done, failed = status.get("completedIndexes") or "", status.get("failedIndexes")
    completions, limited = spec.get("completions"), spec.get("backoffLimitPerIndex") is not None
    readable = completions is not None
    for field, text in (("completedIndexes", done), ("failedIndexes", failed if limited else None)):
        if completions is None or text is None:
            continue
        try:
            count_indexes(text, completions)
        except ValueError as error:
            readable = False
            errors.invalid(f"status.{field}", text, f"error parsing {field}: {error}")
    if done and spec.get("completionMode") != "Indexed":
        why = "cannot set non-empty completedIndexes when non-indexed completion mode"
        errors.invalid("status.completedIndexes", done, why)
    if failed is not None and not limited:
        why = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        errors.invalid("status.failedIndexes", failed, why)
    elif readable and failed and (both := _first_common(done, failed)) is not None:
        why = f"failedIndexes and completedIndexes overlap at index: {both}"
        errors.invalid("status.failedIndexes", failed, why)


def _first_common(one: str, other: str) -> int | None:
    """The first index that is in both of `0,2-4` and `3`."""
    spans = [
        [
            (int(first), int(last or first))
            for first, _, last in (part.partition("-") for part in text.split(","))
        ]
        if text
        else []
        for text in (one, other)
    ]
    left, right = spans
    i = j = 0
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start <= end:
            return start
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return None


def _change(errors: FieldErrors, new: Object, old: Object) -> None:
    spec, status, before = new.get("spec") or {}, new.get("status") or {}, old.get("status") or {}
    true, was = true_conditions(status), true_conditions(before)
    for type_ in ("Failed", "Complete", "FailureTarget"):
        if type_ in was - true:
            why = f"cannot disable the terminal {type_}=True condition"
            errors.invalid("status.conditions", OMIT, why)
    scales = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    for field in ("failed", "succeeded"):
        count = status.get(field) or 0
        if count < (before.get(field) or 0) and not (scales and field == "succeeded"):
            errors.invalid(f"status.{field}", count, f"cannot decrease the {field} counter")
    ended, started = status.get("completionTime"), before.get("startTime")
    if ended and before.get("completionTime") not in (None, ended):
        errors.invalid("status.completionTime", ended, metadata.IMMUTABLE)
    resumes = "Suspended" in was and any(
        c.get("type") == "Suspended" and c.get("status") == "False" for c in status.get("conditions") or ()
    )
    if started and started != status.get("startTime") and not spec.get("suspend") and not resumes:
        why = "field is immutable for unsuspended job once set"
        errors.invalid("status.startTime", status.get("startTime"), why)
    if "SuccessCriteriaMet" in was - true:
        errors.invalid("status.conditions", OMIT, "cannot disable the SuccessCriteriaMet=True condition")
    if "Complete" in was and "SuccessCriteriaMet" in true - was:
        why = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        errors.invalid("status.conditions", OMIT, why)


def count_indexes(text: str, completions: int) -> int:
    """`0,2-4`: how many. Raises ValueError."""
    total, last = 0, -1
    for part in text.split(",") if text else ():
        limits = part.split("-")
        if len(limits) > 2:
            raise ValueError(
                f"the fragment \"{part}\" violates the requirement that an index interval can have at most two parts separated by '-'"
            )
        numbers = []
        for limit in limits:
            if not _NUMBER.fullmatch(limit) or int(limit) >= 1 << 63:
                raise ValueError(f'cannot convert string to integer for index: "{limit}"')
            if int(limit) >= completions:
                raise ValueError(f'too large index: "{limit}"')
            numbers.append(int(limit))
        first, end = numbers[0], numbers[-1]
        for previous, current in ((first, end),) if len(numbers) > 1 else ():
            if previous >= current:
                raise ValueError(f"non-increasing order, previous: {previous}, current: {current}")
        if last >= first:
            raise ValueError(f"non-increasing order, previous: {last}, current: {first}")
        total, last = total + end - first + 1, end
    return total
