"""`describe` of what makes pods: replica sets, deployments, stateful sets, daemon sets, jobs, cron jobs; and of what scales and guards them."""

from __future__ import annotations

from typing import Any

from ..api.duration import human_duration
from ..api.object import Object, annotations_of, get, labels_of, name_of, namespace_of
from ..api.selectors import format_object, to_string
from .describe_pods import template
from .describe_volumes import storage_class_of
from .describe_writer import View, Writer, controlled_by, format_labels
from .jsonpath import go_text
from .timing import rfc1123, seconds_of
from .workloads import new_and_old

UNSET = "<unset>"


def _head(
    w: Writer, obj: Object, selector: str, *, created: bool = False, selector_first: bool = True
) -> None:
    w(0, "Name", name_of(obj))
    w(0, "Namespace", namespace_of(obj))
    if created:
        w(0, "CreationTimestamp", rfc1123(obj["metadata"].get("creationTimestamp")))
    if selector_first:
        w(0, "Selector", selector)
    w.labels("Labels", labels_of(obj))
    w.annotations("Annotations", annotations_of(obj))
    if not selector_first:
        w(0, "Selector", selector)


def _conditions(w: Writer, conditions: list[Object] | None) -> None:
    if conditions:
        w.line(0, "Conditions:")
        w.heading(1, "Type|Status|Reason")
        for each in conditions:
            w.line(1, f"{each['type']} \t{each['status']}\t{each.get('reason') or ''}")


async def replication_controller(w: Writer, obj: Object, view: View) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    selector = ",".join(f"{key}={value}" for key, value in sorted((spec.get("selector") or {}).items()))
    _head(w, obj, selector or "<none>")
    w(0, "Replicas", f"{status.get('replicas', 0)} current / {spec.get('replicas', 0)} desired")
    w(0, "Pods Status", await view.pod_counts(selector))
    template(w, spec.get("template"))
    _conditions(w, status.get("conditions"))
    await view.events(w)


async def replica_set(w: Writer, obj: Object, view: View) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    _head(w, obj, format_object(spec.get("selector")))
    controlled_by(w, obj)
    w(0, "Replicas", f"{status.get('replicas', 0)} current / {spec.get('replicas', 0)} desired")
    w(0, "Pods Status", await view.pod_counts(to_string(spec["selector"])))
    template(w, spec.get("template"))
    _conditions(w, status.get("conditions"))
    await view.events(w)


async def deployment(w: Writer, obj: Object, view: View) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    _head(w, obj, to_string(spec["selector"]), created=True, selector_first=False)
    counts = (
        (spec.get("replicas", 0), "desired"),
        (status.get("updatedReplicas", 0), "updated"),
        (status.get("replicas", 0), "total"),
        (status.get("availableReplicas", 0), "available"),
        (status.get("unavailableReplicas", 0), "unavailable"),
    )
    w(0, "Replicas", " | ".join(f"{count} {name}" for count, name in counts))
    w(0, "StrategyType", get(spec, "strategy.type") or "")
    w(0, "MinReadySeconds", spec.get("minReadySeconds", 0))
    if rolling := get(spec, "strategy.rollingUpdate"):
        limits = f"{rolling.get('maxUnavailable', 0)} max unavailable, {rolling.get('maxSurge', 0)} max surge"
        w(0, "RollingUpdateStrategy", limits)
    template(w, spec.get("template"))
    _conditions(w, status.get("conditions"))
    new, old = await new_and_old(view.connection, obj)
    if new or old:
        w(0, "OldReplicaSets", _sets(old))
        w(0, "NewReplicaSet", _sets([new] if new else []))
    await view.events(w)


def _sets(sets: list[Object]) -> str:
    shown = [
        f"{name_of(each)} ({get(each, 'status.replicas', 0)}/{each['spec'].get('replicas', 0)} replicas created)"
        for each in sets
    ]
    return ", ".join(shown) or "<none>"


async def stateful_set(w: Writer, obj: Object, view: View) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    _head(w, obj, to_string(spec["selector"]), created=True)
    w(0, "Replicas", f"{spec.get('replicas', 0)} desired | {status.get('replicas', 0)} total")
    w(0, "Update Strategy", get(spec, "updateStrategy.type") or "")
    rolling = get(spec, "updateStrategy.rollingUpdate") or {}
    if rolling.get("partition") is not None:
        w(1, "Partition", rolling["partition"])
        if rolling.get("maxUnavailable") is not None:
            w(1, "MaxUnavailable", rolling["maxUnavailable"])
    w(0, "Pods Status", await view.pod_counts(to_string(spec["selector"])))
    template(w, spec.get("template"))
    claims = spec.get("volumeClaimTemplates") or []
    w.line(0, "Volume Claims:" + ("" if claims else "\t<none>"))
    for claim in claims:
        w(1, "Name", name_of(claim))
        w(1, "StorageClass", storage_class_of(claim))
        w.labels("Labels", labels_of(claim), "  ")
        w.labels("Annotations", annotations_of(claim), "  ")
        w(1, "Capacity", get(claim, "spec.resources.requests.storage", "<default>"))
        w(1, "Access Modes", get(claim, "spec.accessModes") or [])
    await view.events(w)


async def daemon_set(w: Writer, obj: Object, view: View) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    w(0, "Name", name_of(obj))
    w(0, "Namespace", namespace_of(obj))
    w(0, "Selector", to_string(spec["selector"]))
    w(0, "Node-Selector", format_labels(get(spec, "template.spec.nodeSelector")))
    w.labels("Labels", labels_of(obj))
    w.annotations("Annotations", annotations_of(obj))
    for label, key in (
        ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
        ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
        ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
        ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
        ("Number of Nodes Misscheduled", "numberMisscheduled"),
    ):
        w.line(0, f"{label}: {status.get(key, 0)}")
    w(0, "Pods Status", await view.pod_counts(to_string(spec["selector"])))
    template(w, spec.get("template"))
    await view.events(w)


async def job(w: Writer, obj: Object, view: View) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    _head(w, obj, to_string(spec.get("selector") or {}))
    controlled_by(w, obj)
    if "parallelism" in spec:
        w(0, "Parallelism", spec["parallelism"])
    w(0, "Completions", spec.get("completions", UNSET))
    for label, key in (
        ("Completion Mode", "completionMode"),
        ("Suspend", "suspend"),
        ("Backoff Limit", "backoffLimit"),
        ("TTL Seconds After Finished", "ttlSecondsAfterFinished"),
    ):
        if spec.get(key) is not None:
            w(0, label, spec[key])
    started, ended = status.get("startTime"), status.get("completionTime")
    if started:
        w(0, "Start Time", rfc1123(started))
    if ended:
        w(0, "Completed At", rfc1123(ended))
    if started and ended:
        w(0, "Duration", human_duration((seconds_of(ended) or 0) - (seconds_of(started) or 0)))
    if spec.get("activeDeadlineSeconds") is not None:
        w(0, "Active Deadline Seconds", f"{spec['activeDeadlineSeconds']}s")
    ready = f" ({status['ready']} Ready)" if status.get("ready") is not None else ""
    counts = f"{status.get('succeeded', 0)} Succeeded / {status.get('failed', 0)} Failed"
    w(0, "Pods Statuses", f"{status.get('active', 0)} Active{ready} / {counts}")
    if spec.get("completionMode") == "Indexed":
        w(0, "Completed Indexes", _capped(status.get("completedIndexes") or ""))
    template(w, spec.get("template"))
    await view.events(w)


def _capped(indexes: str, limit: int = 50) -> str:
    """Not many more than `limit` characters, cut at a comma."""
    if not indexes:
        return "<none>"
    comma = indexes.find(",", limit)
    return indexes if comma < 0 else indexes[: comma + 1] + "..."


async def cron_job(w: Writer, obj: Object, view: View) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    w.head(obj)
    w(0, "Schedule", spec.get("schedule") or "")
    w(0, "Concurrency Policy", spec.get("concurrencyPolicy") or "")
    suspend = spec.get("suspend")
    w(0, "Suspend", UNSET if suspend is None else str(suspend))
    w(0, "Time Zone", spec.get("timeZone") or UNSET)
    w(0, "Successful Job History Limit", spec.get("successfulJobsHistoryLimit", UNSET))
    w(0, "Failed Job History Limit", spec.get("failedJobsHistoryLimit", UNSET))
    deadline = spec.get("startingDeadlineSeconds")
    w(0, "Starting Deadline Seconds", UNSET if deadline is None else f"{deadline}s")
    inner = get(spec, "jobTemplate.spec") or {}
    w(0, "Selector", to_string(inner["selector"]) if inner.get("selector") is not None else UNSET)
    w(0, "Parallelism", inner.get("parallelism", UNSET))
    w(0, "Completions", inner.get("completions", UNSET))
    if inner.get("activeDeadlineSeconds") is not None:
        w(0, "Active Deadline Seconds", f"{inner['activeDeadlineSeconds']}s")
    template(w, inner.get("template"))
    last = status.get("lastScheduleTime")
    w(0, "Last Schedule Time", rfc1123(last) if last else UNSET)
    w(0, "Active Jobs", ", ".join(each.get("name") or "" for each in status.get("active") or ()) or "<none>")
    await view.events(w)


async def autoscaler(w: Writer, obj: Object, view: View) -> None:
    if view.kind.version != "v2":
        obj = await view.get("horizontalpodautoscalers.autoscaling", namespace_of(obj), name_of(obj))
    spec, status = obj["spec"], obj.get("status") or {}
    w.head(obj)
    w(0, "CreationTimestamp", rfc1123(obj["metadata"].get("creationTimestamp")))
    target = spec.get("scaleTargetRef") or {}
    w(0, "Reference", f"{target.get('kind')}/{target.get('name')}")
    w(0, "Metrics", "( current / target )")
    now = status.get("currentMetrics") or []
    for index, metric in enumerate(spec.get("metrics") or ()):
        w.line(1, _metric(metric, now[index] if index < len(now) else {}))
    w(0, "Min replicas", spec.get("minReplicas", UNSET))
    w(0, "Max replicas", spec.get("maxReplicas", 0))
    if behavior := spec.get("behavior"):
        w.line(0, "Behavior:")
        for title, key in (("Scale Up", "scaleUp"), ("Scale Down", "scaleDown")):
            _direction(w, title, behavior.get(key))
    counts = f"{status.get('currentReplicas', 0)} current / {status.get('desiredReplicas', 0)} desired"
    w(0, f"{target.get('kind')} pods", counts)
    if status.get("conditions"):
        w.line(0, "Conditions:")
        w.heading(1, "Type|Status|Reason|Message")
        for each in status["conditions"]:
            w.line(1, "\t".join(str(each.get(key) or "") for key in ("type", "status", "reason", "message")))
    await view.events(w)


_FIELDS = {
    "External": "external",
    "Pods": "pods",
    "Object": "object",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}


def _metric(metric: Object, now: Object) -> str:
    field = _FIELDS.get(metric["type"])
    if field is None:
        return f'<unknown metric type "{metric["type"]}">'
    source, current = metric[field], (now.get(field) or {}).get("current") or {}
    target = source.get("target") or {}
    average, value = target.get("averageValue"), target.get("value")
    name = get(source, "metric.name") or ""
    unknown = "<unknown>"
    if field == "external":
        if average is not None:
            return f'"{name}" (target average value):\t{current.get("averageValue", unknown)} / {average}'
        return f'"{name}" (target value):\t{current.get("value", unknown)} / {value}'
    if field == "pods":
        return f'"{name}" on pods:\t{current.get("averageValue", unknown)} / {average}'
    if field == "object":
        what = source.get("describedObject") or {}
        start = f'"{name}" on {what.get("kind")}/{what.get("name")}'
        if target.get("type") == "AverageValue":
            return f"{start} (target average value):\t{current.get('averageValue', unknown)} / {average}"
        return f"{start} (target value):\t{current.get('value', unknown)} / {value}"
    container = f' of container "{source["container"]}"' if field == "containerResource" else ""
    start = f"resource {source.get('name')}{container} on pods"
    if average is not None:
        return f"{start}:\t{current.get('averageValue', unknown)} / {average}"
    used = unknown
    if current.get("averageUtilization") is not None:
        used = f"{current['averageUtilization']}% ({current.get('averageValue', '0')})"
    wanted = target.get("averageUtilization")
    return f"{start}  (as a percentage of request):\t{used} / {'<auto>' if wanted is None else f'{wanted}%'}"


def _direction(w: Writer, title: str, rules: Object | None) -> None:
    if rules is None:
        return
    w.line(1, f"{title}:")
    if rules.get("stabilizationWindowSeconds") is not None:
        w.line(2, f"Stabilization Window: {rules['stabilizationWindowSeconds']} seconds")
    if rules.get("policies"):
        w.line(2, f"Select Policy: {rules.get('selectPolicy') or 'Max'}")
        w.line(2, "Policies:")
        for each in rules["policies"]:
            w.line(
                3, f"- Type: {each['type']}\tValue: {each['value']}\tPeriod: {each['periodSeconds']} seconds"
            )


async def disruption_budget(w: Writer, obj: Object, view: View) -> None:
    spec, status = obj["spec"], obj.get("status") or {}
    w(0, "Name", name_of(obj))
    w(0, "Namespace", namespace_of(obj))
    if spec.get("minAvailable") is not None:
        w(0, "Min available", spec["minAvailable"])
    elif spec.get("maxUnavailable") is not None:
        w(0, "Max unavailable", spec["maxUnavailable"])
    selector: Any = spec.get("selector")
    w(0, "Selector", UNSET if selector is None else format_object(selector))
    w.line(0, "Status:")
    for label, key in (
        ("Allowed disruptions", "disruptionsAllowed"),
        ("Current", "currentHealthy"),
        ("Desired", "desiredHealthy"),
        ("Total", "expectedPods"),
    ):
        w(2, label, go_text(status.get(key, 0)))
    await view.events(w)
