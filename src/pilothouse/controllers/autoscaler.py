"""HorizontalPodAutoscaler: keeps the target within its bounds, and says why it can do no more.

What a cluster without metrics APIs shows: the target's scale is read and held between minReplicas and maxReplicas, while
every metric fails as it does in Kubernetes when nobody serves metrics.k8s.io. Looked at every 15 s, as upstream.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..api.kinds import KINDS
from ..api.object import Object, condition_of, get, key_of, name_of, split_key
from ..api.selectors import go_selector
from ..base.clock import timestamp
from .common import find_condition, same, with_status
from .plan import NOTHING, Action, Controller, Event, Later, Plan, Source, Tell, Update, View
from .resources import resource_of_reference

PERIOD_S = 15.0
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
_RESOURCE = "horizontalpodautoscalers.autoscaling"
SCALED = tuple(k.resource for k in KINDS if k.is_storage_version and k.subresource("scale"))
NO_SCALE = "the server could not find the requested resource"
_UNABLE = "the HPA controller was unable to get the target's current scale: {}"
_NO_RESOURCE_METRICS = (
    "unable to fetch metrics from resource metrics API: "
    "the server could not find the requested resource (get pods.metrics.k8s.io)"
)
_NO_CUSTOM_METRICS = "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"


class HorizontalPodAutoscalerController(Controller):
    name = "horizontal-pod-autoscaler"
    component = "horizontal-pod-autoscaler"
    extra_resources = (DEFINITIONS, *SCALED)

    @property
    def sources(self) -> Mapping[str, Source]:
        return {_RESOURCE: lambda old, new, view: [Later(key_of(new), PERIOD_S)] if new else []}

    def reconcile(self, key: str, view: View, now: float) -> Plan:
        hpa = view.of(_RESOURCE).get(*split_key(key))
        if hpa is None:
            return NOTHING
        actions: list[Action] = []
        status = _decide(hpa, view, now, actions)
        if not same(status, hpa.get("status") or {}):
            actions.append(Update(_RESOURCE, with_status(hpa, status), "status"))
        return Plan(actions, PERIOD_S)


def _decide(hpa: Object, view: View, now: float, actions: list[Action]) -> Object:
    """The new status; what is to be told and to be scaled is added to `actions`."""
    namespace, spec = hpa["metadata"]["namespace"], hpa["spec"]
    status: Object = {**(hpa.get("status") or {})}
    status.setdefault("desiredReplicas", 0)
    conditions: list[Object] = [dict(c) for c in status.get("conditions") or ()]
    status["conditions"] = conditions

    def say(type_: str, is_so: bool, reason: str, message: str) -> None:
        _set(conditions, type_, "True" if is_so else "False", reason, message, now)

    current, resource, why_not = scale_of(namespace, spec["scaleTargetRef"], view)
    if current is None:
        actions.append(Event(hpa, "Warning", "FailedGetScale", why_not))
        say("AbleToScale", False, "FailedGetScale", _UNABLE.format(why_not))
        return status
    say(
        "AbleToScale",
        True,
        "SucceededGetScale",
        "the HPA controller was able to get the target's current scale",
    )
    lowest, highest = spec.get("minReplicas", 1), spec["maxReplicas"]
    wanted, why = current, ""
    if current == 0 and lowest != 0:
        disabled = "scaling is disabled since the replica count of the target is zero"
        say("ScalingActive", False, "ScalingDisabled", disabled)
    elif current > highest:
        wanted, why = highest, "Current number of replicas above Spec.MaxReplicas"
    elif current < lowest:
        wanted, why = lowest, "Current number of replicas below Spec.MinReplicas"
    else:
        failures = [_failure(namespace, metric) for metric in spec.get("metrics") or ()]
        actions.extend(Event(hpa, "Warning", reason, message) for reason, message, _ in failures)
        reason, message, as_told = failures[0]
        say("ScalingActive", False, reason, f"the HPA was unable to compute the replica count: {message}")
        told = f"invalid metrics ({len(failures)} invalid out of {len(failures)}), first error is: {as_told}"
        actions.append(Event(hpa, "Warning", "FailedComputeMetricsReplicas", told))
        # a metric that could not be read is an empty entry, in Kubernetes too
        return {**status, "currentReplicas": current, "currentMetrics": [{"type": ""} for _ in failures]}
    if why:
        name = spec["scaleTargetRef"]["name"]
        tell = Tell(
            hpa,
            ("SuccessfulRescale", f"New size: {wanted}; reason: {why}"),
            ("FailedRescale", f"New size: {wanted}; reason: {why}; error: {{error}}"),
        )
        scale = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"replicas": wanted},
        }
        actions.append(Update(resource, scale, "scale", tell))
        scaled = f"the HPA controller was able to update the target scale to {wanted}"
        say("AbleToScale", True, "SucceededRescale", scaled)
        status["lastScaleTime"] = timestamp(now)
    return {**status, "currentReplicas": current, "desiredReplicas": wanted, "currentMetrics": None}


def scale_of(namespace: str, reference: Object, view: View) -> tuple[int | None, str, str]:
    """(replicas of what is to be scaled, its resource, why there is none)."""
    api_version, kind = reference.get("apiVersion", ""), reference["kind"]
    group, _, version = api_version.rpartition("/")
    found = resource_of_reference(api_version, kind)
    if found is not None:
        resource, path = found.resource, "spec.replicas" if found.subresource("scale") else ""
    elif definition := _definition(group, kind, view):
        resource = name_of(definition)
        served: Object = next((v for v in definition["spec"]["versions"] if v["name"] == version), {})
        path = get(served, "subresources.scale.specReplicasPath", "").removeprefix(".")
    else:
        return None, "", f'no matches for kind "{kind}" in group "{group}"'
    if not path:
        return None, resource, NO_SCALE
    target = view.of(resource).get(namespace, reference["name"])
    if target is None:
        return None, resource, f'{resource} "{reference["name"]}" not found'
    return get(target, path, 0), resource, ""


def _definition(group: str, kind: str, view: View) -> Object | None:
    for definition in view.of(DEFINITIONS).list():
        spec, established = definition["spec"], condition_of(definition, "Established") or {}
        if (spec["group"], spec["names"]["kind"], established.get("status")) == (group, kind, "True"):
            return definition
    return None


def _failure(namespace: str, metric: Object) -> tuple[str, str, str]:
    """(reason, message of the condition and its event, the same as FailedComputeMetricsReplicas tells it)."""
    type_ = metric["type"]
    if type_ in ("Resource", "ContainerResource"):
        source = metric["resource" if type_ == "Resource" else "containerResource"]
        name = source["name"]
        what = "utilization" if source["target"].get("averageUtilization") is not None else "usage"
        message = (
            f"failed to get {name} {what}: unable to get metrics for resource {name}: {_NO_RESOURCE_METRICS}"
        )
        kind = "resource metric" if type_ == "Resource" else "container metric"
        return f"FailedGet{type_}Metric", message, f"failed to get {name} {kind} value: {message}"
    source = metric[type_[0].lower() + type_[1:]]
    name, target = source["metric"]["name"], source["target"]
    if type_ == "Pods":
        message = f"unable to get metric {name}: {_NO_CUSTOM_METRICS}"
        return "FailedGetPodsMetric", message, f"failed to get pods metric value: {message}"
    if type_ == "Object":
        about = source["describedObject"]
        where = f"{about['kind']} on {namespace} {about['name']}"
        message = f"unable to get metric {name}: {where}/{_NO_CUSTOM_METRICS}"
        inner = message if target["type"] == "Value" else f"failed to get {name} object metric: {message}"
        return "FailedGetObjectMetric", message, f"failed to get object metric value: {inner}"
    api = (
        "unable to fetch metrics from external metrics API: the server could not find the requested resource"
    )
    selector = go_selector(source["metric"].get("selector"))
    message = f"unable to get external metric {namespace}/{name}/{selector}: {api} (get {name}.external.metrics.k8s.io)"
    is_value = target["type"] == "Value"
    inner = f"failed to get external metric {name}" if is_value else f"failed to get {name} external metric"
    return (
        "FailedGetExternalMetric",
        message,
        f"failed to get {name} external metric value: {inner}: {message}",
    )


def _set(conditions: list[Object], type_: str, status: str, reason: str, message: str, now: float) -> None:
    """In its place; the time is that of the last change of `status`."""
    condition = find_condition(conditions, type_)
    if condition is None:
        condition = {"type": type_}
        conditions.append(condition)
    if condition.get("status") != status:
        condition["lastTransitionTime"] = timestamp(now)
    condition.update(status=status, reason=reason, message=message)
