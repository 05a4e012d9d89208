"""ResourceQuotas and LimitRanges."""

from __future__ import annotations

from fractions import Fraction

from ..fielderrors import FieldErrors
from ..object import Object
from ..quantity import Quantity
from . import metadata, resources
from .go_struct import as_go
from .validator import kind

_TERMINATING, _NOT_TERMINATING = "Terminating", "NotTerminating"
_BEST_EFFORT, _NOT_BEST_EFFORT = "BestEffort", "NotBestEffort"
_PRIORITY, _CROSS_NAMESPACE = "PriorityClass", "CrossNamespacePodAffinity"
_ATTRIBUTES_CLASS = "VolumeAttributesClass"
_SCOPES = {
    _TERMINATING,
    _NOT_TERMINATING,
    _BEST_EFFORT,
    _NOT_BEST_EFFORT,
    _PRIORITY,
    _CROSS_NAMESPACE,
    _ATTRIBUTES_CLASS,
}
_OF_PODS = {
    "pods",
    *resources.CONTAINER,
    *(f"{which}.{name}" for which in ("requests", "limits") for name in resources.CONTAINER),
}
_OF_CLAIMS = {"requests.storage", "persistentvolumeclaims"}
_CONFLICTS = ((_BEST_EFFORT, _NOT_BEST_EFFORT), (_TERMINATING, _NOT_TERMINATING))
_NOT_FOR = "unsupported scope applied to resource"
_ONLY_EXISTS = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


def _quota(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec = new.get("spec") or {}
    _amounts(errors, spec, "hard", "spec")
    hard = sorted(spec.get("hard") or ())
    scopes = spec.get("scopes") or []
    for scope in scopes:
        if scope not in _SCOPES:
            errors.invalid("spec.scopes", scopes, "unsupported scope")
        for _ in _unfit(scope, hard):
            errors.invalid("spec.scopes", scopes, _NOT_FOR)
    _conflicts(errors, scopes, scopes, "spec.scopes")
    selector = spec.get("scopeSelector")
    if selector is not None:
        _selector(errors, selector, scopes, hard)
    if old is None:
        _status(errors, new, new)


def _unfit(scope: str, hard: list[str]) -> list[str]:
    """The resources in a quota that a scope says nothing about."""
    if scope == _ATTRIBUTES_CLASS:
        fit = _OF_CLAIMS
    elif scope == _BEST_EFFORT:
        fit = {"pods"}
    elif scope in _SCOPES:
        fit = _OF_PODS
    else:
        return []
    return [name for name in hard if name in resources.QUOTA and name not in fit]


def _conflicts(errors: FieldErrors, found: list[str], shown: list[str], path: str) -> None:
    for one, other in _CONFLICTS:
        if one in found and other in found:
            errors.invalid(path, shown, "conflicting scopes")


def _selector(errors: FieldErrors, selector: Object, scopes: list[str], hard: list[str]) -> None:
    path = "spec.scopeSelector.matchExpressions"
    expressions = selector.get("matchExpressions") or []
    for each in expressions:
        scope, operator, values = each.get("scopeName") or "", each.get("operator") or "", each.get("values")
        if scope not in _SCOPES:
            errors.invalid(f"{path}.scopeName", scope, "unsupported scope")
        for _ in _unfit(scope, hard):
            errors.invalid(path, as_go("core.v1.ScopeSelector", selector), _NOT_FOR)
        if scope in _SCOPES - {_PRIORITY, _ATTRIBUTES_CLASS} and operator != "Exists":
            errors.invalid(f"{path}.operator", operator, _ONLY_EXISTS)
        if operator in ("In", "NotIn"):
            if not values:
                why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                errors.required(f"{path}.values", why)
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                errors.invalid(f"{path}.values", values, why)
        else:
            errors.invalid(f"{path}.operator", operator, "not a valid selector operator")
    _conflicts(errors, [each.get("scopeName") for each in expressions], scopes or None, path)  # type: ignore[arg-type]


def _amounts(errors: FieldErrors, values: Object, field: str, path: str) -> None:
    for name, value in (values.get(field) or {}).items():
        at = f"{path}.{field}[{name}]"
        resources.quota_name(errors, name, at)
        resources.amount(errors, name, value, at)


def _status(errors: FieldErrors, new: Object, old: Object) -> None:
    for field in ("hard", "used"):
        _amounts(errors, new.get("status") or {}, field, "status")


def _quota_change(errors: FieldErrors, new: Object, old: Object) -> None:
    now, was = (new.get("spec") or {}).get("scopes") or [], (old.get("spec") or {}).get("scopes") or []
    if set(now) != set(was):
        errors.invalid("spec.scopes", now or None, metadata.IMMUTABLE)


# -- LimitRange ------------------------------------------------------------------------------------------------

_STANDARD_LIMITS = ("Container", "PersistentVolumeClaim", "Pod")
_MOST, _LEAST, _REQUEST, _LIMIT = "max", "min", "defaultRequest", "default"
_ORDERS = (  # (what, not more than, the field that is named, whose value is shown, in words)
    (_LEAST, _MOST, _LEAST, _LEAST, "min value {} is greater than max value {}"),
    (_LEAST, _REQUEST, _REQUEST, _REQUEST, "min value {} is greater than default request value {}"),
    (_REQUEST, _MOST, _REQUEST, _REQUEST, "default request value {} is greater than max value {}"),
    (_REQUEST, _LIMIT, _REQUEST, _REQUEST, "default request value {} is greater than default limit value {}"),
    (_LEAST, _LIMIT, _LIMIT, _LEAST, "min value {} is greater than default value {}"),
    (_LIMIT, _MOST, _LIMIT, _MOST, "default value {} is greater than max value {}"),
)


def _limit_range(errors: FieldErrors, new: Object, old: Object | None) -> None:
    seen: set[str] = set()
    for index, limit in enumerate((new.get("spec") or {}).get("limits") or ()):
        _limit(errors, limit, seen, f"spec.limits[{index}]")


def _limit(errors: FieldErrors, limit: Object, seen: set[str], path: str) -> None:
    type_ = limit.get("type") or ""
    problems = metadata.qualified_name(type_)
    errors.messages(f"{path}.type", type_, problems)
    if not problems and "/" not in type_ and type_ not in _STANDARD_LIMITS:
        errors.invalid(f"{path}.type", type_, "must be a standard limit type or fully qualified")
    if type_ in seen:
        errors.duplicate(f"{path}.type", type_)
    seen.add(type_)
    rule = resources.container_name if type_ in ("Container", "Pod") else resources.name
    found: dict[str, dict[str, str]] = {}

    def take(field: str) -> None:
        found[field] = limit.get(field) or {}
        for name in found[field]:
            rule(errors, name, f"{path}.{field}[{name}]")

    take(_MOST)
    take(_LEAST)
    for field in (_LIMIT, _REQUEST):
        if type_ != "Pod":
            take(field)
        elif limit.get(field):
            errors.forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
    if type_ == "PersistentVolumeClaim" and "storage" not in found[_MOST] | found[_LEAST]:
        why = "either minimum or maximum storage value is required, but neither was provided"
        errors.required(f"{path}.limits", why)
    take("maxLimitRequestRatio")
    for name in dict.fromkeys(name for values in found.values() for name in values):
        _orders(errors, name, found, path)


def _orders(errors: FieldErrors, name: str, found: dict[str, dict[str, str]], path: str) -> None:
    of = {field: values[name] for field, values in found.items() if name in values}
    number = {field: Quantity.of(value).number for field, value in of.items()}
    for less, more, field, shown, words in _ORDERS:
        if less in of and more in of and number[less] > number[more]:
            errors.invalid(f"{path}.{field}[{name}]", str(of[shown]), words.format(of[less], of[more]))
    if "maxLimitRequestRatio" in of:
        ratio, at = number["maxLimitRequestRatio"], f"{path}.maxLimitRequestRatio[{name}]"
        shown_ratio = str(of["maxLimitRequestRatio"])
        if ratio < 1:
            errors.invalid(at, shown_ratio, f"ratio {shown_ratio} is less than 1")
        if _LEAST in of and _MOST in of and number[_LEAST] > 0:
            most = Fraction(number[_MOST]) / number[_LEAST]
            if ratio > most:
                why = f"ratio {shown_ratio} is greater than max/min = {float(most):.6f}"
                errors.invalid(at, shown_ratio, why)
    if not resources.may_overcommit(name) and _LIMIT in of and _REQUEST in of:
        if number[_LIMIT] != number[_REQUEST]:
            why = f"default value {of[_LIMIT]} must equal to defaultRequest value {of[_REQUEST]} in {name}"
            errors.invalid(f"{path}.defaultRequest[{name}]", str(of[_REQUEST]), why)


QUOTA = kind(_quota, "ubx", change=_quota_change, status=_status)
LIMIT_RANGE = kind(_limit_range, "cb")
