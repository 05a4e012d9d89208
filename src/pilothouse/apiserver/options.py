"""The options in a query (`ListOptions`, `CreateOptions`, …): read as Kubernetes reads them, and refused in its words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ..api.cron import duration_problem
from ..api.errors import ApiError, Cause, bad_request, invalid
from ..api.fielderrors import FieldErrors, quoted
from ..api.object import Object
from ..api.selectors import SelectorError, compile_labels, parse_fields
from .request import Request
from .routes import RequestInfo, is_true

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


@dataclass(slots=True)
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


def check_get_options(request: Request, current: int) -> None:
    if "export" in request.parameters and is_true(request.parameters["export"][0]):
        raise bad_request("the export parameter, deprecated since v1.14, is no longer supported")
    asked = parse_resource_version(request.parameter("resourceVersion"))
    if asked > current:
        raise too_large_resource_version(asked, current)


def with_initial_events(options: ListOptions) -> ListOptions:
    """A watch from nowhere begins with what there is, as if it had asked for that (KEP-3157)."""
    if options.resource_version not in ("", "0") or options.resource_version_match:
        return options
    if options.initial_events is not None:
        return options
    return replace(options, initial_events=True, resource_version_match="NotOlderThan")


def check_list_options(options: ListOptions, watch: bool) -> None:
    """`ValidateListOptions` of apimachinery, for lists and watches."""
    causes = _watch_causes(options) if watch else _list_causes(options)
    if causes:
        check_selectors(options)  # read before the rest is looked at
        raise invalid("ListOptions", META, "", causes)


_LONG_RUNNING = ("watch", "proxy", "exec", "attach", "portforward", "log")


def check_timeout(timeout: str, info: RequestInfo) -> None:
    """The `timeout` that every request may have, but those that last by nature."""
    if timeout and info.verb not in _LONG_RUNNING and info.subresource not in _LONG_RUNNING:
        if problem := duration_problem(timeout):
            raise bad_request(f"invalid timeout specified in the request URL - {problem}")


def check_selectors(options: ListOptions) -> None:
    try:
        compile_labels(options.label_selector)
        parse_fields(options.field_selector)
    except SelectorError as error:
        raise bad_request(str(error))


_NO_OPTIONS = WriteOptions()
MATCH = "resourceVersionMatch"
_CONTINUED = "resourceVersionMatch is forbidden when continue is provided"


def _forbidden(why: str, field: str = MATCH) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {why}", field)


def _watch_causes(o: ListOptions) -> FieldErrors:
    causes = FieldErrors()
    match = o.resource_version_match
    if o.initial_events is not None and match != "NotOlderThan":
        causes.forbidden(MATCH, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
    if match:
        if o.initial_events is None:
            why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            causes.forbidden(MATCH, why)
        if match != "NotOlderThan":
            causes.not_supported(MATCH, match, ["NotOlderThan"])
        if o.continue_token:
            causes.forbidden(MATCH, _CONTINUED)
    return causes


def _list_causes(o: ListOptions) -> FieldErrors:
    causes = FieldErrors()
    match, version = o.resource_version_match, o.resource_version
    if match:
        if not version:
            causes.forbidden(MATCH, "resourceVersionMatch is forbidden unless resourceVersion is provided")
        if o.continue_token:
            causes.forbidden(MATCH, _CONTINUED)
        if match not in ("Exact", "NotOlderThan"):
            causes.not_supported(MATCH, match, ["Exact", "NotOlderThan", ""])
        if match == "Exact" and version == "0":
            causes.forbidden(MATCH, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    if o.initial_events is not None:
        causes.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")
    return causes


def write_options(request: Request, kind: str, *, apply: bool = False) -> WriteOptions:
    """`kind`: CreateOptions, UpdateOptions or PatchOptions (which differ for an apply)."""
    if not request.parameters and not apply:
        return _NO_OPTIONS
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
            return [Cause("FieldValueInvalid", f"Invalid value: {quoted(manager)}: {why}", "fieldManager")]
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
        versions = {f: request.parameter(f) for f in ("uid", "resourceVersion") if request.parameter(f)}
        given["preconditions"] = versions
    policy = given.get("propagationPolicy")
    orphan_dependents = given.get("orphanDependents")
    causes = []
    if policy is not None and orphan_dependents is not None:
        why = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
        causes.append(Cause("FieldValueInvalid", why, "propagationPolicy"))
    if policy not in (None, "Foreground", "Background", "Orphan"):
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
        propagation=policy or "",
        orphan_dependents=orphan_dependents,
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        dry_run=bool(given.get("dryRun")),
    )


def parse_resource_version(text: str) -> int:
    """A resourceVersion in a query as a number; "" and "0" are 0. Raises 500, as upstream does for what it cannot parse."""
    if not text:
        return 0
    wrong = "" if text.isdigit() and text.isascii() else "invalid syntax"
    if not wrong and int(text) >= 1 << 64:
        wrong = "value out of range"
    if wrong:
        why = f"Invalid value: {quoted(text)}: strconv.ParseUint: parsing {quoted(text)}: {wrong}"
        raise ApiError(500, "", f"resourceVersion: {why}", details=False)
    return int(text)


def check_resource_version(text: str) -> int:
    """The same for a list. Raises 400."""
    try:
        return parse_resource_version(text)
    except ApiError as error:
        raise bad_request(f"invalid resource version: {error.message}") from None


def too_large_resource_version(asked: int, current: int, retry_after_s: int = 1) -> ApiError:
    """504: the version asked for does not exist yet."""
    error = ApiError(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {asked}, current: {current}",
        retry_after_s=retry_after_s,
    )
    error.causes = [Cause("ResourceVersionTooLarge", "Too large resource version", "")]
    return error
