"""HorizontalPodAutoscalers, in v2; what came in as v1 has been converted."""

from __future__ import annotations

from collections.abc import Callable

from .. import names
from ..fielderrors import FieldErrors
from ..object import Object
from ..quantity import Quantity
from . import resources
from .metadata import not_negative
from .networking import segment
from .validator import kind

_SOURCES = ("ContainerResource", "External", "Object", "Pods", "Resource")
_TARGETS = ("Utilization", "Value", "AverageValue")
_WINDOW_S_MAX, _PERIOD_S_MAX = 3600, 1800
_RAW_OR_UTILIZATION = "must set either a target raw value or a target utilization"


def _autoscaler(errors: FieldErrors, new: Object, old: Object | None) -> None:
    spec, before = new.get("spec") or {}, (old or {}).get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    bound = 0 if before.get("minReplicas") == 0 else 1
    if least is not None and least < bound:
        errors.invalid("spec.minReplicas", least, f"must be greater than or equal to {bound}")
    if most == 0:
        errors.required("spec.maxReplicas", "must be set and greater than 0")
    elif most < 0:
        errors.invalid("spec.maxReplicas", most, "must be greater than or equal to 1")
    if least is not None and most < least:
        errors.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    target, was = spec.get("scaleTargetRef") or {}, before.get("scaleTargetRef")
    _reference(errors, target, "spec.scaleTargetRef")
    kept = was is not None and all(was.get(field) == target.get(field) for field in ("apiVersion", "kind"))
    if not kept and (why := _version_problem(target, "")):
        errors.invalid("spec.scaleTargetRef.apiVersion", target.get("apiVersion") or "", why)
    metrics = spec.get("metrics") or []
    lenient = any(_version_problem(_described(metric)) for metric in before.get("metrics") or ())
    for index, metric in enumerate(metrics):
        _metric(errors, metric, f"spec.metrics[{index}]", lenient)
    if least == 0 and not any(metric.get("type") in ("Object", "External") for metric in metrics):
        why = "must specify at least one Object or External metric to support scaling to zero replicas"
        errors.forbidden("spec.metrics", why)
    behavior = spec.get("behavior") or {}
    for direction in ("scaleUp", "scaleDown"):
        if behavior.get(direction) is not None:
            _rules(errors, behavior[direction], f"spec.behavior.{direction}")


def _reference(errors: FieldErrors, target: Object, path: str) -> None:
    for field in ("kind", "name"):
        segment(errors, target.get(field) or "", f"{path}.{field}")


def _described(metric: Object) -> Object:
    return (metric.get("object") or {}).get("describedObject") or {}


def _version_problem(target: Object, core: str = "core") -> str:
    """`core`: the group that an API version without one is of; "": it may not be without, but for a ReplicationController."""
    version = target.get("apiVersion") or ""
    group, slash, _ = version.rpartition("/")
    if "/" in group:
        return f"unexpected GroupVersion string: {version}"
    if not group and not core and target.get("kind") != "ReplicationController":
        return "apiVersion must specify API group"
    return ""


def _rules(errors: FieldErrors, rules: Object, path: str) -> None:
    window, select = rules.get("stabilizationWindowSeconds"), rules.get("selectPolicy")
    if window is not None and window < 0:
        errors.invalid(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
    if window is not None and window > _WINDOW_S_MAX:
        why = f"must be less than or equal to {_WINDOW_S_MAX}"
        errors.invalid(f"{path}.stabilizationWindowSeconds", window, why)
    if select is not None and select not in ("Disabled", "Max", "Min"):
        errors.not_supported(f"{path}.selectPolicy", select, ("Disabled", "Max", "Min"))
    policies = rules.get("policies") or []
    if not policies:
        errors.required(f"{path}.policies", "must specify at least one Policy")
    for index, policy in enumerate(policies):
        at, period = f"{path}.policies[{index}]", policy.get("periodSeconds") or 0
        if policy.get("type") not in ("Percent", "Pods"):
            errors.not_supported(f"{at}.type", policy.get("type") or "", ("Percent", "Pods"))
        for field in ("value", "periodSeconds"):
            if (policy.get(field) or 0) <= 0:
                errors.invalid(f"{at}.{field}", policy.get(field) or 0, "must be greater than zero")
        if period > _PERIOD_S_MAX:
            errors.invalid(f"{at}.periodSeconds", period, f"must be less than or equal to {_PERIOD_S_MAX}")
    tolerance = rules.get("tolerance")
    if tolerance is not None and Quantity.of(tolerance).number < 0:
        errors.invalid(f"{path}.tolerance", str(tolerance), "must be greater than or equal to 0")


# -- metrics ---------------------------------------------------------------------------------------------------


def _metric(errors: FieldErrors, metric: Object, path: str, lenient: bool) -> None:
    type_ = metric.get("type") or ""
    if not type_:
        errors.required(f"{path}.type", "must specify a metric source type")
    if type_ not in _SOURCES:
        errors.not_supported(f"{path}.type", type_, _SOURCES)
    present = [field for field in _CHECKS if metric.get(field) is not None]
    if present:
        _CHECKS[present[0]](errors, metric[present[0]], f"{path}.{present[0]}", lenient)
    expected = type_[:1].lower() + type_[1:]
    if type_ not in _SOURCES:
        errors.not_supported(f"{path}.type", type_, _SOURCES)  # Kubernetes says so twice
    elif expected not in present:
        errors.required(f"{path}.{expected}", "must populate information for the given metric source")
    if len(present) > 1:
        for field in present:
            if field != expected:
                errors.forbidden(f"{path}.{field}", "must populate the given metric source only")


def _object(errors: FieldErrors, source: Object, path: str, lenient: bool) -> None:
    described = source.get("describedObject") or {}
    _reference(errors, described, f"{path}.describedObject")
    if not lenient and (why := _version_problem(described)):
        errors.invalid(f"{path}.describedObject.apiVersion", described["apiVersion"], why)
    target = _named(errors, source, path)
    if target.get("value") is None and target.get("averageValue") is None:
        errors.required(f"{path}.target.averageValue", "must set either a target value or averageValue")


def _external(errors: FieldErrors, source: Object, path: str, lenient: bool) -> None:
    target = _named(errors, source, path)
    if target.get("value") is None and target.get("averageValue") is None:
        why = "must set either a target value for metric or a per-pod target"
        errors.required(f"{path}.target.averageValue", why)
    if target.get("value") is not None and target.get("averageValue") is not None:
        why = "may not set both a target value for metric and a per-pod target"
        errors.forbidden(f"{path}.target.value", why)


def _pods(errors: FieldErrors, source: Object, path: str, lenient: bool) -> None:
    target = _named(errors, source, path)
    if target.get("averageValue") is None:
        errors.required(f"{path}.target.averageValue", "must specify a positive target averageValue")


def _resource(errors: FieldErrors, source: Object, path: str, lenient: bool) -> None:
    if not source.get("name"):
        errors.required(f"{path}.name", "must specify a resource name")
    _utilization(errors, source, path)


def _container_resource(errors: FieldErrors, source: Object, path: str, lenient: bool) -> None:
    name, container = source.get("name") or "", source.get("container") or ""
    if name:
        resources.container_name(errors, name, f"{path}.name")
    else:
        errors.required(f"{path}.name", "must specify a resource name")
    if container:
        errors.messages(f"{path}.container", container, names.dns1123_label(container))
    else:
        errors.required(f"{path}.container", "must specify a container")
    _utilization(errors, source, path)


_CHECKS: dict[str, Callable[[FieldErrors, Object, str, bool], None]] = {
    "object": _object,
    "external": _external,
    "pods": _pods,
    "resource": _resource,
    "containerResource": _container_resource,
}
"""In the order in which Kubernetes looks; only the first that is there is looked into."""


def _named(errors: FieldErrors, source: Object, path: str) -> Object:
    metric, target = source.get("metric") or {}, source.get("target") or {}
    if metric.get("name"):
        errors.messages(f"{path}.metric.name", metric["name"], names.path_segment(metric["name"]))
    else:
        errors.required(f"{path}.metric.name", "must specify a metric name")
    _target(errors, target, f"{path}.target")
    return target


def _utilization(errors: FieldErrors, source: Object, path: str) -> None:
    target = source.get("target") or {}
    _target(errors, target, f"{path}.target")
    share, amount = target.get("averageUtilization"), target.get("averageValue")
    if share is None and amount is None:
        errors.required(f"{path}.target.averageUtilization", _RAW_OR_UTILIZATION)
    if share is not None and amount is not None:
        why = "may not set both a target raw value and a target utilization"
        errors.forbidden(f"{path}.target.averageValue", why)


def _target(errors: FieldErrors, target: Object, path: str) -> None:
    type_ = target.get("type") or ""
    if not type_:
        errors.required(f"{path}.type", "must specify a metric target type")
    if type_ not in _TARGETS:
        errors.invalid(f"{path}.type", type_, "must be either Utilization, Value, or AverageValue")
    for field in ("value", "averageValue"):
        if target.get(field) is not None and Quantity.of(target[field]).number <= 0:
            errors.invalid(f"{path}.{field}", str(target[field]), "must be positive")
    share = target.get("averageUtilization")
    if share is not None and share < 1:
        errors.invalid(f"{path}.averageUtilization", share, "must be greater than 0")


def _status(errors: FieldErrors, new: Object, old: Object) -> None:
    status = new.get("status") or {}
    for field in ("currentReplicas", "desiredReplicas"):
        not_negative(errors, status.get(field), f"status.{field}")


AUTOSCALER = kind(_autoscaler, "ub", status=_status)
