"""One kind in several versions: converted at the edge, one of them stored.

HorizontalPodAutoscaler v1 is v2 with what v1 cannot say kept in annotations; an Event of events.k8s.io is a core Event with other names.
"""

from __future__ import annotations

from typing import Any

import orjson

from ..api.crd.kinds import CustomKind
from ..api.kinds import Kind
from ..api.object import Object
from ..api.validation.go_struct import as_go

CPU_DEFAULT_PERCENT = 80
METRICS = "autoscaling.alpha.kubernetes.io/metrics"
CURRENT_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics"
CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
_TOLERANCES = [f"autoscaling.alpha.kubernetes.io/scale-{way}-tolerance" for way in ("up", "down")]
_ROUND_TRIP = {METRICS, CURRENT_METRICS, CONDITIONS, BEHAVIOR, *_TOLERANCES}


def to_storage(kind: Kind, obj: Object) -> Object:
    """From the version that was asked for to the one that is stored; the same object where they are one."""
    stored = kind.storage
    if stored is kind:
        return obj
    if kind.kind == "Event":
        converted = _event_to_core(obj)
    elif kind.kind == "HorizontalPodAutoscaler":
        converted = _hpa_to_v2(obj)
    else:
        converted = dict(obj)
    return {**converted, "apiVersion": stored.api_version, "kind": stored.kind}


def from_storage(kind: Kind, obj: Object) -> Object:
    if isinstance(kind, CustomKind):
        return kind.from_stored(obj)
    stored = kind.storage
    if stored is kind:
        return obj
    if kind.kind == "Event":
        converted = _event_from_core(obj)
    elif kind.kind == "HorizontalPodAutoscaler":
        converted = _hpa_to_v1(obj)
    else:
        converted = dict(obj)
    return {**converted, "apiVersion": kind.api_version, "kind": kind.kind}


# events.k8s.io/v1 name -> core/v1 name
EVENT_FIELDS = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
EVENT_FIELDS_BACK = {core: new for new, core in EVENT_FIELDS.items()}


def _event_to_core(event: Object) -> Object:
    return {EVENT_FIELDS.get(field, field): value for field, value in event.items()}


def _event_from_core(event: Object) -> Object:
    return {
        EVENT_FIELDS_BACK.get(field, field): value
        for field, value in event.items()
        if value or not field.startswith("reporting")  # the new version leaves out what is empty
    }


# What autoscaling/v1 calls a metric's parts, and where they are in v2 (`{}`: "target" of a spec, "current" of a status). Those that are
# never left out ("0" when unset): "t" in a spec, "c" in a status.
_AVERAGE = ("{}AverageValue", "{}.averageValue")
_RESOURCE = (("name", "name", ""), ("{}AverageUtilization", "{}.averageUtilization", ""), (*_AVERAGE, "c"))
_FLAT_METRICS = {
    "object": (
        ("target", "describedObject", ""),
        ("metricName", "metric.name", ""),
        ("{}Value", "{}.value", "tc"),
        ("selector", "metric.selector", ""),
        ("averageValue", "{}.averageValue", ""),
    ),
    "pods": (("metricName", "metric.name", ""), (*_AVERAGE, "tc"), ("selector", "metric.selector", "")),
    "resource": _RESOURCE,
    "containerResource": (*_RESOURCE, ("container", "container", "")),
    "external": (
        ("metricName", "metric.name", ""),
        ("metricSelector", "metric.selector", ""),
        ("{}Value", "{}.value", "c"),
        (*_AVERAGE, ""),
    ),
}


def _hpa_to_v1(hpa: Object) -> Object:
    spec, status = dict(hpa.get("spec") or {}), dict(hpa.get("status") or {})
    meta = dict(hpa["metadata"])
    annotations = _without_round_trip(meta)
    others: list[Any] = []
    for metric in spec.pop("metrics", None) or ():
        utilization = _cpu_utilization(metric, "target")
        if utilization is None:
            others.append(_metric_to_v1(metric, "target"))
        else:
            spec.setdefault("targetCPUUtilizationPercentage", utilization)
    current = status.pop("currentMetrics", None) or ()
    for metric in current:
        utilization = _cpu_utilization(metric, "current")
        if utilization is not None:
            status["currentCPUUtilizationPercentage"] = utilization
    behavior = spec.pop("behavior", None)
    kept = {
        METRICS: others,
        CURRENT_METRICS: [_metric_to_v1(metric, "current") for metric in current],
        BEHAVIOR: as_go("autoscaling.v2.HorizontalPodAutoscalerBehavior", behavior),
        CONDITIONS: status.pop("conditions", None),
    }
    annotations |= {name: _go_json(value) for name, value in kept.items() if value}
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)
    if annotations:
        meta["annotations"] = annotations
    return {"metadata": meta, "spec": spec, "status": status}


def _without_round_trip(meta: Object) -> Object:
    """The annotations taken from `meta`, but for those that only a conversion writes."""
    annotations = meta.pop("annotations", None) or {}
    return {name: text for name, text in annotations.items() if name not in _ROUND_TRIP}


def _cpu_utilization(metric: Object, side: str) -> int | None:
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    utilization: int | None = (resource.get(side) or {}).get("averageUtilization")
    return utilization


def _metric_to_v1(metric: Object, side: str) -> Object:
    flat: Object = {"type": metric.get("type", "")}
    for source, parts in _FLAT_METRICS.items():
        if source not in metric:
            continue
        flat[source] = {}
        for name, path, always in parts:
            value: Any = metric[source]
            for step in path.format(side).split("."):
                value = (value or {}).get(step)
            if name == "target" and value:  # in the order of Go's fields
                value = {field: value[field] for field in ("kind", "name", "apiVersion") if field in value}
            if value is None and side[0] in always:
                value = "0"
            if value is not None:
                flat[source][name.format(side)] = value
    return flat


def _metric_to_v2(metric: Object, side: str) -> Object:
    made: Object = {"type": metric.get("type", "")}
    for source, parts in _FLAT_METRICS.items():
        flat = metric.get(source)
        if flat is None:
            continue
        nested: Object = {side: {}}
        for name, path, always in parts:
            value = flat.get(name.format(side), "0" if side[0] in always else None)
            if value is not None:
                *into, last = path.format(side).split(".")
                (nested.setdefault(into[0], {}) if into else nested)[last] = value
        if side == "target":
            _type_target(source, nested["target"])
        made[source] = nested
    return made


def _type_target(source: str, target: Object) -> None:
    """v1 has no type: which values there are tells."""
    if source == "object" and "averageValue" in target and target.get("value") in ("0", 0):
        del target["value"]
    if "averageUtilization" in target:
        target["type"] = "Utilization"
    elif source == "external" and "value" in target or source == "object" and "averageValue" not in target:
        target["type"] = "Value"
    else:
        target["type"] = "AverageValue"


def _hpa_to_v2(hpa: Object) -> Object:
    spec, status = dict(hpa.get("spec") or {}), dict(hpa.get("status") or {})
    meta = dict(hpa.get("metadata") or {})
    given = meta.get("annotations") or {}
    annotations = _without_round_trip(meta)
    metrics = [_metric_to_v2(metric, "target") for metric in _objects(given.get(METRICS)) or ()]
    cpu = spec.pop("targetCPUUtilizationPercentage", None)
    if cpu is not None or not metrics:  # v1 has its default here: what is nothing there is 80 % in v2
        target = {"type": "Utilization", "averageUtilization": CPU_DEFAULT_PERCENT if cpu is None else cpu}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    spec["metrics"] = metrics
    behavior = _from_go(_parsed(given.get(BEHAVIOR)))
    if behavior and isinstance(behavior, dict):
        spec["behavior"] = behavior
    cpu_now = status.pop("currentCPUUtilizationPercentage", None)
    current = _objects(given.get(CURRENT_METRICS))
    if current is not None:
        status["currentMetrics"] = [_metric_to_v2(metric, "current") for metric in current]
    elif cpu_now is not None:
        now = {"averageUtilization": cpu_now}
        status["currentMetrics"] = [{"type": "Resource", "resource": {"name": "cpu", "current": now}}]
    else:
        status["currentMetrics"] = None
    conditions = _objects(given.get(CONDITIONS))
    if conditions:
        status["conditions"] = conditions
    if annotations:
        meta["annotations"] = annotations
    return {"metadata": meta, "spec": spec, "status": status}


def _go_json(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _parsed(text: str | None) -> Any:
    """None where there is nothing that can be read."""
    try:
        return orjson.loads(text or "null")
    except orjson.JSONDecodeError:
        return None


def _objects(text: str | None) -> list[Object] | None:
    found = _parsed(text)
    return found if isinstance(found, list) and all(isinstance(one, dict) for one in found) else None


def _from_go(value: Any) -> Any:
    """The annotation has the names of the Go fields, for there the internal type is written."""
    if isinstance(value, list):
        return [_from_go(one) for one in value]
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: _from_go(one) for name, one in value.items() if one is not None}
    return value
