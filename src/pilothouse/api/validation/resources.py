"""Names and amounts of resources: requests and limits of containers and pods, and what quotas and limit ranges may name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from ..quantity import Quantity
from .metadata import qualified_name

CONTAINER = frozenset(("cpu", "memory", "ephemeral-storage"))
_COUNTED = frozenset(
    (
        "pods",
        "services",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    )
)
QUOTA = (
    CONTAINER
    | _COUNTED
    | {f"{which}.{name}" for which in ("requests", "limits") for name in CONTAINER}
    | {"requests.storage"}
)
STANDARD = QUOTA | {"storage"}
_HUGE_PAGES = "hugepages-"

NameRule = Callable[[FieldErrors, str, str], None]


def is_huge_page(name: str) -> bool:
    return name.startswith(_HUGE_PAGES)


def is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    return not is_native(name) and not name.startswith("requests.") and not qualified_name(f"requests.{name}")


def may_overcommit(name: str) -> bool:
    return is_native(name) and not is_huge_page(name)


def name(errors: FieldErrors, value: str, path: str) -> None:
    problems = qualified_name(value)
    errors.messages(path, value, problems)
    if problems or "/" in value or value in STANDARD:
        return
    if not is_huge_page(value) and not value.startswith("requests.hugepages-"):
        errors.invalid(path, value, "must be a standard resource type or fully qualified")


def container_name(errors: FieldErrors, value: str, path: str) -> None:
    if value in CONTAINER:
        return
    name(errors, value, path)
    if "/" not in value:
        if not is_huge_page(value):
            errors.invalid(path, value, "must be a standard resource for containers")
    elif not is_native(value) and not is_extended(value):
        errors.invalid(path, value, "doesn't follow extended resource name standard")


def pod_name(errors: FieldErrors, value: str, path: str) -> None:
    """What a pod as a whole may ask for (KEP-2837)."""
    before = len(errors)
    name(errors, value, path)
    if len(errors) == before and value not in ("cpu", "memory") and not is_huge_page(value):
        errors.not_supported(path, value, ("cpu", _HUGE_PAGES, "memory"))


def quota_name(errors: FieldErrors, value: str, path: str) -> None:
    name(errors, value, path)
    if (
        "/" not in value
        and value not in QUOTA
        and not value.startswith(("hugepages-", "requests.hugepages-"))
    ):
        errors.invalid(path, value, "must be a standard resource for quota")


def amount(errors: FieldErrors, resource: str, value: object, path: str) -> None:
    quantity = Quantity.of(value)
    if quantity.number < 0:
        errors.invalid(path, str(value), "must be greater than or equal to 0")
    if resource not in CONTAINER and (resource in _COUNTED or is_extended(resource)):
        if quantity.number.denominator != 1:
            errors.invalid(path, str(value), "must be an integer")


def positive(errors: FieldErrors, value: object, path: str) -> None:
    if Quantity.of(value).number <= 0:
        errors.invalid(path, str(value), "must be greater than zero")


def requirements(
    errors: FieldErrors,
    resources: Object,
    path: str,
    claims: Collection[str] = (),
    rule: NameRule = container_name,
) -> None:
    """`claims`: the names in the pod's resourceClaims."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    huge = plain = False
    for which, values in (("limits", limits), ("requests", requests)):
        for resource, value in values.items():
            if resource in CONTAINER and rule is container_name and _sound(value):
                plain = plain or resource != "ephemeral-storage"
                limit = limits.get(resource)
                if which == "requests" and limit is not None and not _within(value, limit):
                    _against_limit(errors, resource, value, limit, path)
                continue
            at = f"{path}.{which}[{resource}]"
            rule(errors, resource, at)
            amount(errors, resource, value, at)
            if which == "requests":
                _against_limit(errors, resource, value, limits.get(resource), path)
            if is_huge_page(resource):
                huge = True
                if not _whole_pages(resource, value):
                    errors.invalid(at, str(value), f"{value} is not positive integer multiple of {resource}")
            plain = plain or resource in ("cpu", "memory")
    if huge and not plain:
        errors.forbidden(path, "HugePages require cpu or memory")
    if resources.get("claims"):
        _claims(errors, resources["claims"], claims, f"{path}.claims")


@functools.lru_cache(maxsize=4096)
def _sound(value: object) -> bool:
    return Quantity.of(value).number >= 0


@functools.lru_cache(maxsize=4096)
def _within(value: object, limit: object) -> bool:
    return Quantity.of(value).number <= Quantity.of(limit).number


def _against_limit(errors: FieldErrors, resource: str, value: object, limit: object, path: str) -> None:
    overcommit = may_overcommit(resource)
    if limit is None:
        if not overcommit:
            errors.required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        return
    asked, bound = Quantity.of(value).number, Quantity.of(limit).number
    if asked != bound and not overcommit:
        errors.invalid(f"{path}.requests", str(value), f"must be equal to {resource} limit of {limit}")
    elif asked > bound:
        errors.invalid(
            f"{path}.requests", str(value), f"must be less than or equal to {resource} limit of {limit}"
        )


def _whole_pages(resource: str, value: object) -> bool:
    try:
        page = Quantity.of(resource.removeprefix(_HUGE_PAGES)).value()
    except ValueError:
        return False
    return page > 0 and Quantity.of(value).value() % page == 0


def _claims(errors: FieldErrors, used: list[Object], known: Collection[str], path: str) -> None:
    seen: set[str] = set()
    for index, claim in enumerate(used):
        at, claim_name, request = f"{path}[{index}]", claim.get("name") or "", claim.get("request") or ""
        if not claim_name:
            errors.required(at)
            continue
        if claim_name in seen:
            errors.duplicate(at, claim_name)
        else:
            key = claim_name
            if request:
                errors.messages(f"{at}.request", request, names.dns1123_label(request))
                key += f"/{request}"
            if key in seen:
                errors.duplicate(at, key)
            elif not request and any(other.partition("/")[0] == claim_name for other in seen):
                errors.duplicate(at, claim_name)
            seen.add(key)
        if claim_name not in known:
            listed = f": {', '.join(sorted(set(known)))}" if known else " which is empty"
            errors.not_found(at, claim_name, f"must be one of the names in pod.spec.resourceClaims{listed}")
