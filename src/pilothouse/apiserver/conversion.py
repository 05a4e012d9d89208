"""One kind in several versions: converted at the edge, one of them stored.

HorizontalPodAutoscaler v1 is v2 with what v1 cannot say kept in annotations; an Event of events.k8s.io is a core Event with other names.
"""

from __future__ import annotations

from typing import Any

import orjson

from ..api.crd.kinds import CustomKind
from ..api.kinds import Kind, storage_kind
from ..api.object import Object

CPU_DEFAULT_PERCENT = 80
METRICS = "autoscaling.alpha.kubernetes.io/metrics"
CURRENT_METRICS = "autoscaling.alpha.kubernetes.io/current-metrics"
CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"


def to_storage(kind: Kind, obj: Object) -> Object:
    """From the version that was asked for to the one that is stored; the same object where they are one."""
    stored = storage_kind(kind)
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
    stored = storage_kind(kind)
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


def _hpa_to_v1(hpa: Object) -> Object:
    spec, status = dict(hpa.get("spec") or {}), dict(hpa.get("status") or {})
    meta = dict(hpa["metadata"])
    annotations = dict(meta.get("annotations") or {})
    others: list[Any] = []
    for metric in spec.pop("metrics", None) or ():
        target = (metric.get("resource") or {}).get("target") or {}
        if (
            metric.get("type") == "Resource"
            and metric["resource"].get("name") == "cpu"
            and "averageUtilization" in target
        ):
            spec["targetCPUUtilizationPercentage"] = target["averageUtilization"]
        else:
            others.append(_metric_to_v1(metric))
    if others:
        annotations[METRICS] = orjson.dumps(others).decode()
    behavior = spec.pop("behavior", None)
    if behavior:
        annotations[BEHAVIOR] = orjson.dumps(behavior).decode()
    current: list[Any] = []
    for metric in status.pop("currentMetrics", None) or ():
        now = (metric.get("resource") or {}).get("current") or {}
        if (
            metric.get("type") == "Resource"
            and metric["resource"].get("name") == "cpu"
            and "averageUtilization" in now
        ):
            status["currentCPUUtilizationPercentage"] = now["averageUtilization"]
        else:
            current.append(metric)
    if current:
        annotations[CURRENT_METRICS] = orjson.dumps(current).decode()
    conditions = status.pop("conditions", None)
    if conditions:
        annotations[CONDITIONS] = orjson.dumps(conditions).decode()
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)
    if annotations:
        meta["annotations"] = annotations
    return {"metadata": meta, "spec": spec, "status": status}


def _metric_to_v1(metric: Object) -> Object:
    """v2's nested targets, flattened as in the annotation that v1 has for them (autoscaling/v1 `MetricSpec`)."""
    type_ = metric.get("type", "")
    field = type_[:1].lower() + type_[1:]
    source = metric.get(field) or {}
    target = source.get("target") or {}
    flat: Object = {}
    if type_ in ("Resource", "ContainerResource"):
        flat["name"] = source.get("name")
        if "averageUtilization" in target:
            flat["targetAverageUtilization"] = target["averageUtilization"]
        if "averageValue" in target:
            flat["targetAverageValue"] = target["averageValue"]
        if "container" in source:
            flat["container"] = source["container"]
    elif type_ == "Pods":
        flat = {
            "metricName": (source.get("metric") or {}).get("name"),
            "targetAverageValue": target.get("averageValue", "0"),
        }
        if (source.get("metric") or {}).get("selector"):
            flat["selector"] = source["metric"]["selector"]
    elif type_ == "Object":
        flat = {
            "target": {
                field: (source.get("describedObject") or {}).get(field)
                for field in ("kind", "name", "apiVersion")
                if field in (source.get("describedObject") or {})
            },
            "metricName": (source.get("metric") or {}).get("name"),
            "targetValue": target.get("value", "0"),
        }
        if "averageValue" in target:
            flat["averageValue"] = target["averageValue"]
        if (source.get("metric") or {}).get("selector"):
            flat["selector"] = source["metric"]["selector"]
    elif type_ == "External":
        flat["metricName"] = (source.get("metric") or {}).get("name")
        if (source.get("metric") or {}).get("selector"):
            flat["metricSelector"] = source["metric"]["selector"]
        if "value" in target:
            flat["targetValue"] = target["value"]
        if "averageValue" in target:
            flat["targetAverageValue"] = target["averageValue"]
    return {"type": type_, field: flat}


def _metric_to_v2(metric: Object) -> Object:
    type_ = metric.get("type", "")
    field = type_[:1].lower() + type_[1:]
    flat = metric.get(field) or {}
    target: Object = {}
    if flat.get("targetAverageUtilization") is not None:
        target = {"type": "Utilization", "averageUtilization": flat["targetAverageUtilization"]}
    elif flat.get("targetAverageValue") is not None:
        target = {"type": "AverageValue", "averageValue": flat["targetAverageValue"]}
    elif flat.get("averageValue") is not None:
        target = {"type": "AverageValue", "averageValue": flat["averageValue"]}
    elif flat.get("targetValue") is not None:
        target = {"type": "Value", "value": flat["targetValue"]}
    source: Object = {"target": target}
    if type_ in ("Resource", "ContainerResource"):
        source["name"] = flat.get("name")
        if "container" in flat:
            source["container"] = flat["container"]
    else:
        source["metric"] = {"name": flat.get("metricName")}
        selector = flat.get("selector") or flat.get("metricSelector")
        if selector:
            source["metric"]["selector"] = selector
        if type_ == "Object":
            source["describedObject"] = flat.get("target")
    return {"type": type_, field: source}


def _hpa_to_v2(hpa: Object) -> Object:
    spec, status = dict(hpa.get("spec") or {}), dict(hpa.get("status") or {})
    meta = dict(hpa.get("metadata") or {})
    annotations = dict(meta.get("annotations") or {})
    metrics: list[Any] = []
    cpu = spec.pop("targetCPUUtilizationPercentage", None)
    if METRICS in annotations:
        metrics += [_metric_to_v2(metric) for metric in _parsed(annotations.pop(METRICS), [])]
    if cpu is not None or not metrics:  # v1 has its default here: what is nothing there is 80 % in v2
        target = {"type": "Utilization", "averageUtilization": CPU_DEFAULT_PERCENT if cpu is None else cpu}
        metrics.insert(0, {"type": "Resource", "resource": {"name": "cpu", "target": target}})
    spec["metrics"] = metrics
    if BEHAVIOR in annotations:
        spec["behavior"] = _parsed(annotations.pop(BEHAVIOR), {})
    current: list[Any] = _parsed(annotations.pop(CURRENT_METRICS, "[]"), [])
    cpu_now = status.pop("currentCPUUtilizationPercentage", None)
    if cpu_now is not None:
        current.insert(
            0,
            {
                "type": "Resource",
                "resource": {"name": "cpu", "current": {"averageUtilization": cpu_now, "averageValue": "0"}},
            },
        )
    status["currentMetrics"] = current or None
    if CONDITIONS in annotations:
        status["conditions"] = _parsed(annotations.pop(CONDITIONS), [])
    if annotations:
        meta["annotations"] = annotations
    else:
        meta.pop("annotations", None)
    return {"metadata": meta, "spec": spec, "status": status}


def _parsed(text: str, otherwise: Any) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return otherwise
