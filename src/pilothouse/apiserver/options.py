"""The options in a query (`ListOptions`, `CreateOptions`, …): read as Kubernetes reads them, and refused in its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from ..api.errors import ApiError, Cause, bad_request, invalid
from ..api.object import Object
from .request import Request
from .routes import is_true

META = "meta.k8s.io"


@dataclass(frozen=True, slots=True)
class ListOptions:
    label_selector: str = ""
    field_selector: str = ""
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    resource_version_match: str = ""
    timeout_s: int = 0
    bookmarks: bool = False
    initial_events: bool | None = None


@dataclass(frozen=True, slots=True)
class WriteOptions:
    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = ""
    force: bool | None = None


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    grace_period_s: int | None = None
    propagation: str = ""  # "", Background, Foreground or Orphan
    orphan_dependents: bool | None = None
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False


def _integer(text: str) -> int:
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not digits.isdigit() or not digits.isascii():
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


def _boolean(request: Request, name: str) -> bool | None:
    values = request.parameters.get(name)
    return None if values is None else is_true(values[0])


def list_options(request: Request) -> ListOptions:
    if not request.query and not request.parameters:
        return ListOptions()
    value = request.parameter
    options = ListOptions(
        label_selector=value("labelSelector"),
        field_selector=value("fieldSelector"),
        limit=_integer(value("limit") or "0"),
        continue_token=value("continue"),
        resource_version=value("resourceVersion"),
        resource_version_match=value("resourceVersionMatch"),
        timeout_s=_integer(value("timeoutSeconds") or "0"),
        bookmarks=bool(_boolean(request, "allowWatchBookmarks")),
        initial_events=_boolean(request, "sendInitialEvents"),
    )
    return options


def check_list_options(options: ListOptions, watch: bool) -> None:
    """`ValidateListOptions` of apimachinery, for lists and watches."""
    causes = _watch_causes(options) if watch else _list_causes(options)
    if causes:
        raise invalid("ListOptions", META, "", causes)


MATCH = "resourceVersionMatch"


def _forbidden(why: str, field: str = MATCH) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {why}", field)


def _watch_causes(o: ListOptions) -> list[Cause]:
    causes: list[Cause] = []
    match, version = o.resource_version_match, o.resource_version
    if o.initial_events is not None:
        if match != "NotOlderThan":
            causes.append(
                _forbidden("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
            )
    elif match:
        if o.continue_token:
            causes.append(_forbidden("resourceVersionMatch is forbidden when continue is provided"))
        else:
            causes.append(
                _forbidden("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
            )
    elif o.continue_token:
        causes.append(_forbidden("resourceVersionMatch is forbidden when continue is provided"))
    if match and match != "NotOlderThan" and o.initial_events is not None:
        causes.append(
            Cause(
                "FieldValueNotSupported",
                f'Unsupported value: "{match}": supported values: "NotOlderThan"',
                MATCH,
            )
        )
    del version
    return causes


def _list_causes(o: ListOptions) -> list[Cause]:
    causes: list[Cause] = []
    match, version = o.resource_version_match, o.resource_version
    if o.initial_events is not None:
        causes.append(_forbidden("sendInitialEvents is forbidden for list", "sendInitialEvents"))
    if not match:
        return causes
    if not version:
        causes.append(_forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided"))
    if o.continue_token:
        causes.append(_forbidden("resourceVersionMatch is forbidden when continue is provided"))
    if match not in ("Exact", "NotOlderThan"):
        why = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan", ""'
        causes.append(Cause("FieldValueNotSupported", why, MATCH))
    if match == "Exact" and version == "0":
        causes.append(_forbidden('resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    return causes


def write_options(request: Request, kind: str, *, apply: bool = False) -> WriteOptions:
    """`kind`: CreateOptions, UpdateOptions or PatchOptions (which differ for an apply)."""
    if not request.parameters and not apply:
        return WriteOptions()
    dry_run = request.parameters.get("dryRun") or []
    options = WriteOptions(
        dry_run=bool(dry_run),
        field_manager=request.parameter("fieldManager"),
        field_validation=request.parameter("fieldValidation"),
        force=_boolean(request, "force") if kind == "PatchOptions" else None,
    )
    causes: list[Cause] = []
    if apply and not options.field_manager:
        why = "Required value: is required for apply patch"
        causes.append(Cause("FieldValueRequired", why, "fieldManager"))
    elif not apply and options.force is not None:
        causes.append(_forbidden("may not be specified for non-apply patch", "force"))
    causes += _field_manager_causes(options.field_manager) + _dry_run_causes(dry_run)
    if options.field_validation not in ("", "Ignore", "Warn", "Strict"):
        shown = '"", "Ignore", "Strict", "Warn"'
        why = f'Unsupported value: "{options.field_validation}": supported values: {shown}'
        causes.append(Cause("FieldValueNotSupported", why, "fieldValidation"))
    if causes:
        raise invalid(kind, META, "", causes)
    return options


def _field_manager_causes(manager: str) -> list[Cause]:
    if len(manager.encode()) > 128:
        return [Cause("FieldValueTooLong", "Too long: may not be more than 128 bytes", "fieldManager")]
    for position, character in enumerate(manager):
        if not character.isprintable():
            why = f"invalid character U+{ord(character):04X} (at position {position})"
            shown = orjson.dumps(manager).decode()
            return [Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", "fieldManager")]
    return []


def _dry_run_causes(dry_run: list[str]) -> list[Cause]:
    if dry_run and set(dry_run) != {"All"}:
        shown = ",".join(f'"{value}"' for value in dry_run)
        return [
            Cause(
                "FieldValueNotSupported", f'Unsupported value: [{shown}]: supported values: "All"', "dryRun"
            )
        ]
    return []


def delete_options(request: Request, body: Object | None) -> DeleteOptions:
    """From the body if there is one, else from the query (a body hides the query altogether)."""
    given: dict[str, Any]
    if body is not None:
        given = body
    else:
        given = {}
        if request.parameter("gracePeriodSeconds"):
            given["gracePeriodSeconds"] = _integer(request.parameter("gracePeriodSeconds"))
        if request.parameter("propagationPolicy"):
            given["propagationPolicy"] = request.parameter("propagationPolicy")
        orphan = _boolean(request, "orphanDependents")
        if orphan is not None:
            given["orphanDependents"] = orphan
        if "dryRun" in request.parameters:
            given["dryRun"] = request.parameters["dryRun"]
    policy = given.get("propagationPolicy") or ""
    orphan_dependents = given.get("orphanDependents")
    causes = []
    if policy and orphan_dependents is not None:
        why = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
        causes.append(Cause("FieldValueInvalid", why, "propagationPolicy"))
    if policy not in ("", "Foreground", "Background", "Orphan"):
        why = f'Unsupported value: "{policy}": supported values: "Foreground", "Background", "Orphan", "nil"'
        causes.append(Cause("FieldValueNotSupported", why, "propagationPolicy"))
    causes += _dry_run_causes(given.get("dryRun") or [])
    if causes:
        raise invalid("DeleteOptions", META, "", causes)
    grace = given.get("gracePeriodSeconds")
    if grace is not None and grace < 0:
        grace = 1  # API server: a negative grace is at once, but not forced
    preconditions = given.get("preconditions") or {}
    return DeleteOptions(
        grace_period_s=grace,
        propagation=policy,
        orphan_dependents=orphan_dependents,
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        dry_run=bool(given.get("dryRun")),
    )


def check_resource_version(text: str) -> int:
    """A resourceVersion in a query as a number; "" and "0" are 0. Raises 400."""
    if not text:
        return 0
    if not text.isdigit() or not text.isascii():
        why = f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise bad_request(f"invalid resource version: resourceVersion: {why}")
    return int(text)


def too_large_resource_version(asked: int, current: int, retry_after_s: int = 1) -> ApiError:
    """504: the version asked for does not exist yet."""
    error = ApiError(
        504,
        "Timeout",
        f"Too large resource version: {asked}, current: {current}",
        retry_after_s=retry_after_s,
    )
    error.causes = [Cause("ResourceVersionTooLarge", "Too large resource version", "")]
    return error
