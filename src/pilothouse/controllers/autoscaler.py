"""HorizontalPodAutoscaler: keeps the target within its bounds, and says why it can do no more.

What a cluster without metrics APIs shows: the target's scale is read and held between minReplicas and maxReplicas, while
every metric fails as it does in Kubernetes when nobody serves metrics.k8s.io. Looked at every 15 s, as upstream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..api.discovery import version_priority
from ..api.kinds import KINDS
from ..api.object import Object, condition_of, get, key_of, labels_of, name_of, namespace_of, split_key
from ..api.selectors import SelectorError, compile_labels, go_selector, nothing, to_string
from ..base.clock import timestamp
from .common import find_condition, same, with_status
from .plan import NOTHING, Action, Controller, Event, Later, Plan, Source, Tell, Update, View

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
    extra_resources = (DEFINITIONS, "pods", *SCALED)

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
        if wrong := _selector_error(hpa, view):
            event_reason, reason, told, message = wrong
            say("ScalingActive", False, reason, message)
            actions.append(Event(hpa, "Warning", event_reason, told))
            actions.append(Event(hpa, "Warning", "FailedComputeMetricsReplicas", told))
            return {**status, "currentReplicas": current, "currentMetrics": None}
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
    """(replicas of what is to be scaled, its resource, why there is none). Any version of its kind will do."""
    api_version, kind = reference.get("apiVersion", ""), reference["kind"]
    if api_version.count("/") > 1:
        return None, "", f"unexpected GroupVersion string: {api_version}"
    found = _scaled(api_version.rpartition("/")[0], kind, view)
    if found is None:
        return None, "", f'no matches for kind "{kind}" in group "{api_version.rpartition("/")[0]}"'
    if not found.replicas:
        return None, found.resource, NO_SCALE
    target = view.of(found.resource).get(namespace, reference["name"])
    if target is None:
        return None, found.resource, f'{found.resource} "{reference["name"]}" not found'
    return get(target, found.replicas, 0), found.resource, ""


@dataclass(frozen=True, slots=True)
class _Scaled:
    """A resource, and where its objects have how many they want and which pods are theirs; "": they have no scale."""

    resource: str
    replicas: str = ""
    selector: str = ""


def _scaled(group: str, kind: str, view: View) -> _Scaled | None:
    built_in = next(
        (k for k in KINDS if (k.group, k.kind, k.is_storage_version) == (group, kind, True)), None
    )
    if built_in is not None:
        has = built_in.subresource("scale")
        return _Scaled(built_in.resource, *(("spec.replicas", "spec.selector") if has else ()))
    definition = _definition(group, kind, view)
    if definition is None:
        return None
    served = [v for v in definition["spec"]["versions"] if v.get("served", True)]
    preferred: Object = min(served, key=lambda version: version_priority(version["name"]), default={})
    paths = ("specReplicasPath", "labelSelectorPath")
    return _Scaled(
        name_of(definition), *(get(preferred, f"subresources.scale.{p}", "").removeprefix(".") for p in paths)
    )


def _selector_text(hpa: Object, view: View) -> str:
    """Which pods are the target's, as its scale says it."""
    reference, namespace = hpa["spec"]["scaleTargetRef"], namespace_of(hpa)
    found = _scaled(reference.get("apiVersion", "").rpartition("/")[0], reference["kind"], view)
    target = view.of(found.resource).get(namespace, reference["name"]) if found is not None else None
    selector = get(target, found.selector) if found is not None and found.selector else None
    if not isinstance(selector, dict):
        return selector or ""
    if found is not None and found.resource == "replicationcontrollers":
        selector = {"matchLabels": selector}
    return to_string(selector)


def _selector_error(hpa: Object, view: View) -> tuple[str, str, str, str] | None:
    """Why metrics are not even looked for: reason of the event and of the condition, what each says."""
    text = _selector_text(hpa, view)
    if not text:
        missing = "the HPA target's scale is missing a selector"
        return "SelectorRequired", "InvalidSelector", "selector is required", missing
    try:
        selects = compile_labels(text)
    except SelectorError as error:
        told = f"couldn't convert selector into a corresponding internal selector object: {error}"
        return "InvalidSelector", "InvalidSelector", told, told
    namespace = namespace_of(hpa)
    others = [
        other
        for other in view.of(_RESOURCE).list(namespace)
        if name_of(other) != name_of(hpa) and _has_looked_at_pods(other)
    ]
    theirs = (
        [labels_of(pod) for pod in view.of("pods").list(namespace) if selects(labels_of(pod))]
        if others
        else []
    )
    rivals = [other for other in others if _chooses_any(_selector_text(other, view), theirs)]
    if not rivals:
        return None
    names = " ".join(f"{{{name_of(each)} {namespace}}}" for each in (hpa, *rivals))
    told = f"pods by selector {text} are controlled by multiple HPAs: [{names}]"
    return "AmbiguousSelector", "AmbiguousSelector", told, told


def _has_looked_at_pods(hpa: Object) -> bool:
    active = condition_of(hpa, "ScalingActive")
    return active is not None and active.get("reason") != "ScalingDisabled"


def _chooses_any(selector: str, pods: list[dict[str, str]]) -> bool:
    try:
        selects = compile_labels(selector) if selector else nothing
    except SelectorError:
        return False
    return any(selects(labels) for labels in pods)


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
        what = f"{name} resource" if type_ == "Resource" else f"{source['container']} container"
        return f"FailedGet{type_}Metric", message, f"failed to get {what} metric value: {message}"
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
