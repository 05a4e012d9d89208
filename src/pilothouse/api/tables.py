"""Tables: the columns and cells that the API server gives for each kind, as kubectl prints them.

`columns(kind)` and `row(kind, obj, now)` look into one table, `PRINTERS`: a line of column names (`*` before a name:
shown with `-o wide` only; `#`: a number, `?`: true or false) and a function from an object to its cells. A kind that is not there has
Name and Age. Pods, the longest, are in `tables_pod.py`. (k8s.io/kubernetes/pkg/printers/internalversion)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from ..base.clock import parse_timestamp
from .duration import age, human_duration
from .kinds import Kind
from .object import Object, condition_of, get, labels_of
from .selectors import format_object, go_selector
from .tables_descriptions import descriptions
from .tables_pod import POD_COLUMNS, pod_conditions, pod_row

if TYPE_CHECKING:
    from .crd.kinds import CustomKind

Row = list[Any]
SCALE = "Scale"
NONE, UNKNOWN, UNSET = "<none>", "<unknown>", "<unset>"


def columns(kind: Kind) -> list[Object]:
    """The `columnDefinitions` of a kind."""
    if kind.custom:
        return cast("CustomKind", kind).columns
    return _columns(kind, _printer_of(kind))


@functools.lru_cache(maxsize=256)
def _columns(kind: Kind, printer: str) -> list[Object]:
    made = [_definition(text) for text in PRINTERS.get(printer, ("Name, Age",))[0].split(", ")]
    meant = descriptions(kind, printer, [column["name"] for column in made])
    for column, description in zip(made, meant, strict=True):
        column["description"] = description
        if printer == SCALE:
            column["format"] = ""  # of all kinds the only one
    return made


def _printer_of(kind: Kind) -> str:
    return SCALE if kind.kind == SCALE else kind.resource


def row(kind: Kind, obj: Object, now: float) -> Row:
    """The cells of one object; `now` in seconds since the epoch."""
    if kind.custom:
        return cast("CustomKind", kind).cells(obj, now)
    printer = PRINTERS.get(_printer_of(kind))
    return printer[1](obj, now) if printer else [_name(obj), _age(obj, now)]


def rows_of_none(kind: Kind) -> list[Object] | None:
    """An empty list of a kind without a printer of its own has no rows at all, as in Go."""
    printer = PRINTERS.get(kind.resource)
    return None if printer is not None and printer[1] is _plain else []


def row_conditions(kind: Kind, obj: Object) -> list[Object] | None:
    """What marks a row as done: pods that have ended."""
    return pod_conditions(obj) if kind.resource == "pods" else None


def _definition(text: str) -> Object:
    wide, number, flag = text.startswith("*"), "#" in text[:2], "?" in text[:2]
    name = text.lstrip("*#?")
    type_ = "integer" if number else "boolean" if flag else "date" if name == "Created At" else "string"
    return {
        "name": name,
        "type": type_,
        "format": "name" if name in ("Name", "Attacher") else "",
        "description": "",
        "priority": 1 if wide else 0,
    }


# -- helpers -------------------------------------------------------------------------------------------


def _name(obj: Object) -> str:
    return str(obj["metadata"].get("name") or "")


def _age(obj: Object, now: float) -> str:
    return age(obj["metadata"].get("creationTimestamp"), now)


def _containers(spec: Object) -> tuple[str, str]:
    containers = spec.get("containers") or []
    return ",".join(c["name"] for c in containers), ",".join(c.get("image") or "" for c in containers)


def _template(obj: Object) -> Object:
    return get(obj, "spec.template.spec", {}) or {}


def _map(labels: Object | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def _joined(values: Any, nothing: str = NONE) -> str:
    return ",".join(str(value) for value in values or ()) or nothing


_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


def _modes(modes: Any) -> str:
    return ",".join(short for mode, short in _MODES.items() if mode in (modes or ()))


# -- workloads -----------------------------------------------------------------------------------------


def _deployment(obj: Object, now: float) -> Row:
    status, (names, images) = obj.get("status") or {}, _containers(_template(obj))
    desired = get(obj, "spec.replicas", 0)
    return [
        _name(obj),
        f"{status.get('readyReplicas') or 0}/{desired}",
        status.get("updatedReplicas") or 0,
        status.get("availableReplicas") or 0,
        _age(obj, now),
        names,
        images,
        format_object(get(obj, "spec.selector", {})),
    ]


def _replica_set(obj: Object, now: float) -> Row:
    status, (names, images) = obj.get("status") or {}, _containers(_template(obj))
    selector = get(obj, "spec.selector")
    plain = obj.get("kind") == "ReplicationController"
    return [
        _name(obj),
        get(obj, "spec.replicas", 0),
        status.get("replicas") or 0,
        status.get("readyReplicas") or 0,
        _age(obj, now),
        names,
        images,
        _map(selector) if plain else format_object(selector or {}),
    ]


def _stateful_set(obj: Object, now: float) -> Row:
    names, images = _containers(_template(obj))
    ready = get(obj, "status.readyReplicas", 0)
    return [_name(obj), f"{ready}/{get(obj, 'spec.replicas', 0)}", _age(obj, now), names, images]


def _daemon_set(obj: Object, now: float) -> Row:
    status, (names, images) = obj.get("status") or {}, _containers(_template(obj))
    counts = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled")
    return [
        _name(obj),
        *[status.get(count) or 0 for count in counts],
        status.get("numberAvailable") or 0,
        _map(_template(obj).get("nodeSelector")),
        _age(obj, now),
        names,
        images,
        format_object(get(obj, "spec.selector", {})),
    ]


_JOB_STATES = ("Complete", "Failed", "Terminating", "Suspended", "FailureTarget", "SuccessCriteriaMet")


def _job(obj: Object, now: float) -> Row:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    succeeded, completions, parallelism = (
        status.get("succeeded") or 0,
        spec.get("completions"),
        spec.get("parallelism"),
    )
    if completions is not None:
        done = f"{succeeded}/{completions}"
    elif (parallelism or 0) > 1:
        done = f"{succeeded}/1 of {parallelism}"
    else:
        done = f"{succeeded}/1"
    took = ""
    if status.get("startTime"):
        end = parse_timestamp(status["completionTime"]) if status.get("completionTime") else now
        took = human_duration(end - parse_timestamp(status["startTime"]))
    held = {type_ for type_ in _JOB_STATES if (condition_of(obj, type_) or {}).get("status") == "True"}
    if obj["metadata"].get("deletionTimestamp"):
        held.add("Terminating")
    state = next((type_ for type_ in _JOB_STATES if type_ in held), "Running")
    names, images = _containers(_template(obj))
    selector = format_object(spec.get("selector"))
    return [_name(obj), state, done, took, _age(obj, now), names, images, selector]


def _cron_job(obj: Object, now: float) -> Row:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    job = get(spec, "jobTemplate.spec", {})
    names, images = _containers(get(job, "template.spec", {}))
    last = status.get("lastScheduleTime")
    return [
        _name(obj),
        spec.get("schedule") or "",
        spec.get("timeZone") or NONE,
        "True" if spec.get("suspend") else "False",
        len(status.get("active") or ()),
        age(last, now) if last else NONE,
        _age(obj, now),
        names,
        images,
        format_object(job.get("selector")),
    ]


def _hpa(obj: Object, now: float) -> Row:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    target = spec.get("scaleTargetRef") or {}
    return [
        _name(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _hpa_metrics(spec, status),
        str(spec["minReplicas"]) if spec.get("minReplicas") is not None else UNSET,
        spec.get("maxReplicas") or 0,
        status.get("currentReplicas") or 0,
        _age(obj, now),
    ]


def _hpa_metrics(spec: Object, status: Object) -> str:
    metrics = spec.get("metrics") or []
    if not metrics and spec.get("targetCPUUtilizationPercentage") is not None:
        now = status.get("currentCPUUtilizationPercentage")
        seen = f"{now}%" if now is not None else UNKNOWN
        return f"cpu: {seen}/{spec['targetCPUUtilizationPercentage']}%"
    current = status.get("currentMetrics") or []
    shown = []
    for index, metric in enumerate(metrics):
        type_ = metric.get("type") or ""
        member = type_[:1].lower() + type_[1:]
        source = metric.get(member) or {}
        goal = source.get("target") or {}
        reported = current[index].get(member) if index < len(current) else None
        now = (reported or {}).get("current") or {}
        prefix = f"{source.get('name')}: " if type_ in ("Resource", "ContainerResource") else ""
        # what is never nil upstream shows as Go's nil where it is missing all the same
        missing = UNKNOWN if reported is None else "<nil>"
        if goal.get("averageValue") is not None:
            average = ""
            if type_ in ("External", "Object"):
                average, missing = " (avg)", UNKNOWN
            shown.append(f"{prefix}{now.get('averageValue', missing)}/{goal['averageValue']}{average}")
        elif prefix:
            value = now.get("averageUtilization")
            left = f"{value}%" if value is not None else UNKNOWN
            shown.append(f"{prefix}{left}/{goal.get('averageUtilization')}%")
        else:
            shown.append(f"{now.get('value', missing)}/{goal.get('value')}")
    if not shown:
        return NONE
    return ", ".join(shown[:2]) + (f" + {len(shown) - 2} more..." if len(shown) > 2 else "")


def _pdb(obj: Object, now: float) -> Row:
    spec = obj.get("spec") or {}
    bounds = [
        str(spec[key]) if spec.get(key) is not None else "N/A" for key in ("minAvailable", "maxUnavailable")
    ]
    return [_name(obj), *bounds, get(obj, "status.disruptionsAllowed", 0), _age(obj, now)]


# -- services and network ------------------------------------------------------------------------------


def _service(obj: Object, now: float) -> Row:
    spec = obj.get("spec") or {}
    type_ = spec.get("type") or "ClusterIP"
    ports = [
        f"{port['port']}{':' + str(port['nodePort']) if port.get('nodePort') else ''}/{port.get('protocol', 'TCP')}"
        for port in spec.get("ports") or ()
    ]
    return [
        _name(obj),
        type_,
        spec.get("clusterIP") or NONE,
        _external_ip(obj, spec, type_),
        _joined(ports),
        _age(obj, now),
        _map(spec.get("selector")),
    ]


def _external_ip(obj: Object, spec: Object, type_: str) -> str:
    if type_ == "ExternalName":
        return str(spec.get("externalName") or "")
    external = list(spec.get("externalIPs") or ())
    if type_ == "LoadBalancer":
        return ",".join(_load_balancer(obj) + external) or "<pending>"
    return ",".join(external) or NONE


def _load_balancer(obj: Object) -> list[str]:
    ingress = get(obj, "status.loadBalancer.ingress", []) or []
    return sorted({entry.get("ip") or entry.get("hostname") or "" for entry in ingress} - {""})


def _more(items: list[str], shown: int, nothing: str) -> str:
    if not items:
        return nothing
    return ",".join(items[:shown]) + (f" + {len(items) - shown} more..." if len(items) > shown else "")


def _endpoints(obj: Object, now: float) -> Row:
    found = []
    for subset in obj.get("subsets") or ():
        ports = subset.get("ports") or [None]
        for port in ports:
            for address in subset.get("addresses") or ():
                ip = address["ip"]
                shown = f"[{ip}]" if ":" in ip and port else ip
                found.append(f"{shown}:{port['port']}" if port else ip)
    return [_name(obj), _more(found, 3, "" if obj.get("subsets") else NONE), _age(obj, now)]


def _endpoint_slice(obj: Object, now: float) -> Row:
    ports = [str(port.get("port", port.get("name", "*"))) for port in obj.get("ports") or ()]
    addresses = [
        address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()
    ]
    return [
        _name(obj),
        obj.get("addressType") or "",
        _more(ports, 3, UNSET) or UNSET,
        _more(addresses, 3, UNSET),
        _age(obj, now),
    ]


def _ingress(obj: Object, now: float) -> Row:
    spec = obj.get("spec") or {}
    return [
        _name(obj),
        spec.get("ingressClassName") or NONE,
        _hosts(spec.get("rules") or []),
        ",".join(_load_balancer(obj)),
        "80, 443" if spec.get("tls") else "80",
        _age(obj, now),
    ]


def _hosts(rules: list[Object]) -> str:
    """Three hosts; rules without one are counted too, as soon as there are three."""
    hosts = [(index, rule["host"]) for index, rule in enumerate(rules) if rule.get("host")][:3]
    more = len(hosts) == 3 and hosts[-1][0] < len(rules) - 1
    return (",".join(host for _, host in hosts) or "*") + (f" + {len(rules) - 3} more..." if more else "")


def _ingress_class(obj: Object, now: float) -> Row:
    parameters = get(obj, "spec.parameters")
    shown = NONE
    if parameters:
        group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") is not None else ""
        shown = f"{parameters['kind']}{group}/{parameters['name']}"
    return [_name(obj), get(obj, "spec.controller", ""), shown, _age(obj, now)]


def _ip_address(obj: Object, now: float) -> Row:
    parent = get(obj, "spec.parentRef", {})
    where = [parent.get("resource") or "", parent.get("namespace") or "", parent.get("name") or ""]
    if parent.get("group"):
        where[0] = f"{where[0]}.{parent['group']}"
    return [_name(obj), "/".join(where), _age(obj, now)]


# -- nodes and storage ---------------------------------------------------------------------------------


def _node(obj: Object, now: float) -> Row:
    status = obj.get("status") or {}
    info = status.get("nodeInfo") or {}
    ready = condition_of(obj, "Ready")
    state = ["Ready" if ready["status"] == "True" else "NotReady"] if ready else ["Unknown"]
    if get(obj, "spec.unschedulable", False):
        state.append("SchedulingDisabled")
    addresses = {entry["type"]: entry["address"] for entry in reversed(status.get("addresses") or [])}
    kernel = info.get("kernelVersion") or UNKNOWN
    if info.get("kernelVersion") and info.get("architecture"):
        kernel = f"{kernel} ({info['architecture']})"
    return [
        _name(obj),
        ",".join(state),
        ",".join(_roles(obj)) or NONE,
        _age(obj, now),
        info.get("kubeletVersion") or "",
        addresses.get("InternalIP", NONE),
        addresses.get("ExternalIP", NONE),
        info.get("osImage") or UNKNOWN,
        kernel,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _roles(obj: Object) -> list[str]:
    roles = set()
    for key, value in labels_of(obj).items():
        if key.startswith("node-role.kubernetes.io/") and len(key) > 24:
            roles.add(key[24:])
        elif key == "kubernetes.io/role" and value:
            roles.add(value)
    return sorted(roles)


def _volume(obj: Object, now: float) -> Row:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    claim = spec.get("claimRef")
    phase = "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase") or ""
    return [
        _name(obj),
        (spec.get("capacity") or {}).get("storage", "0"),
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy") or "",
        phase,
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        _storage_class(obj),
        spec.get("volumeAttributesClassName", UNSET),
        status.get("reason") or "",
        _age(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def _storage_class(obj: Object) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    beta = annotations.get("volume.beta.kubernetes.io/storage-class")
    return str(beta if beta is not None else get(obj, "spec.storageClassName", "") or "")


def _claim(obj: Object, now: float) -> Row:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    phase = "Terminating" if obj["metadata"].get("deletionTimestamp") else status.get("phase") or ""
    capacity, modes = "", ""
    if spec.get("volumeName"):
        capacity = (status.get("capacity") or {}).get("storage", "0")
        modes = _modes(status.get("accessModes"))
    return [
        _name(obj),
        phase,
        spec.get("volumeName") or "",
        capacity,
        modes,
        _storage_class(obj),
        spec.get("volumeAttributesClassName", UNSET),
        _age(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def _csi_driver(obj: Object, now: float) -> Row:
    spec = obj.get("spec") or {}
    tokens = [request.get("audience") or "" for request in spec.get("tokenRequests") or ()]
    return [
        _name(obj),
        spec.get("attachRequired", True),
        spec.get("podInfoOnMount", False),
        spec.get("storageCapacity", False),
        ",".join(tokens) if spec.get("tokenRequests") else UNSET,
        spec.get("requiresRepublish", False),
        _joined(spec.get("volumeLifecycleModes")),
        _age(obj, now),
    ]


# -- configuration and policy --------------------------------------------------------------------------


def _quota(obj: Object, now: float) -> Row:
    hard, used = get(obj, "status.hard", {}) or {}, get(obj, "status.used", {}) or {}
    lines: dict[bool, list[str]] = {False: [], True: []}
    for name in sorted(hard):
        lines[name.startswith("limits.")].append(f"{name}: {used.get(name, '0')}/{hard[name]}")
    return [_name(obj), ", ".join(lines[False]), ", ".join(lines[True]), _age(obj, now)]


def _subjects(obj: Object) -> tuple[str, str, str]:
    found: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        name = subject["name"]
        if subject["kind"] == "ServiceAccount":
            name = f"{subject.get('namespace', '')}/{name}"
        found.setdefault(subject["kind"], []).append(name)
    return ", ".join(found["User"]), ", ".join(found["Group"]), ", ".join(found["ServiceAccount"])


def _binding(obj: Object, now: float) -> Row:
    role = obj.get("roleRef") or {}
    return [_name(obj), f"{role.get('kind', '')}/{role.get('name', '')}", _age(obj, now), *_subjects(obj)]


def _event(obj: Object, now: float) -> Row:
    involved = obj.get("involvedObject") or obj.get("regarding") or {}
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = (
        source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    )
    host = source.get("host") or obj.get("reportingInstance") or ""
    first = obj.get("firstTimestamp") or obj.get("deprecatedFirstTimestamp") or obj.get("eventTime")
    last = obj.get("lastTimestamp") or obj.get("deprecatedLastTimestamp")
    count = obj.get("count") or obj.get("deprecatedCount") or 0
    series = obj.get("series")
    if series:
        last, count = series.get("lastObservedTime"), series.get("count") or 0
    elif not count:
        count = 1
    last = last or first
    return [
        age(last, now),
        obj.get("type") or "",
        obj.get("reason") or "",
        "/".join(filter(None, ((involved.get("kind") or "").lower(), involved.get("name")))),
        involved.get("fieldPath") or "",
        f"{component}, {host}" if host else component,
        (obj.get("message") or obj.get("note") or "").strip(),
        age(first, now),
        count,
        _name(obj),
    ]


def _revision(obj: Object, now: float) -> Row:
    controller = NONE
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            group = owner["apiVersion"].rpartition("/")[0]
            kind = owner["kind"].lower()
            controller = f"{kind}.{group}/{owner['name']}" if group else f"{kind}/{owner['name']}"
    return [_name(obj), controller, obj.get("revision") or 0, _age(obj, now)]


def _csr(obj: Object, now: float) -> Row:
    spec, conditions = obj.get("spec") or {}, get(obj, "status.conditions", []) or []
    types = {c["type"] for c in conditions}
    states = [next((one for one in ("Denied", "Approved") if one in types), "Pending")]
    if "Failed" in types:
        states.append("Failed")
    if get(obj, "status.certificate"):
        states.append("Issued")
    seconds = spec.get("expirationSeconds")
    return [
        _name(obj),
        _age(obj, now),
        spec.get("signerName") or NONE,
        spec.get("username") or "",
        human_duration(seconds) if seconds is not None else NONE,
        ",".join(states),
    ]


def _flow_schema(obj: Object, now: float) -> Row:
    spec = obj.get("spec") or {}
    missing = condition_of(obj, "Dangling")
    return [
        _name(obj),
        get(spec, "priorityLevelConfiguration.name", ""),
        spec.get("matchingPrecedence") or 0,
        get(spec, "distinguisherMethod.type", NONE),
        _age(obj, now),
        missing["status"] if missing else "?",
    ]


def _priority_level(obj: Object, now: float) -> Row:
    spec = obj.get("spec") or {}
    limited = spec.get("limited") or {}
    queuing = get(limited, "limitResponse.queuing", {}) or {}
    shares = limited.get("nominalConcurrencyShares", NONE)
    numbers = [queuing.get(key, NONE) for key in ("queues", "handSize", "queueLengthLimit")]
    return [_name(obj), spec.get("type") or "", shares, *numbers, _age(obj, now)]


def _policy(field: str) -> Callable[[Object, float], Row]:
    def printer(obj: Object, now: float) -> Row:
        parameter = get(obj, "spec.paramKind")
        shown = f"{parameter['apiVersion']}/{parameter['kind']}" if parameter else UNSET
        return [_name(obj), len(get(obj, f"spec.{field}", []) or []), shown, _age(obj, now)]

    return printer


def _policy_binding(obj: Object, now: float) -> Row:
    reference = get(obj, "spec.paramRef")
    shown = UNSET
    if reference and reference.get("name"):
        shown = f"{reference.get('namespace') or '*'}/{reference['name']}"
    elif reference and reference.get("selector") is not None:
        shown = go_selector(reference["selector"])
    return [_name(obj), get(obj, "spec.policyName", ""), shown, _age(obj, now)]


def _api_service(obj: Object, now: float) -> Row:
    service = get(obj, "spec.service")
    where = f"{service.get('namespace')}/{service.get('name')}" if service else "Local"
    available = condition_of(obj, "Available")
    state = "Unknown"
    if available:
        state = available["status"]
        if state != "True":
            state = f"{state} ({available.get('reason', '')})"
    return [_name(obj), where, state, _age(obj, now)]


def _claim_state(obj: Object, now: float) -> Row:
    status = obj.get("status") or {}
    states = []
    if obj["metadata"].get("deletionTimestamp"):
        states.append("deleted")
    if status.get("allocation"):
        states.append("allocated")
    if status.get("reservedFor"):
        states.append("reserved")
    return [_name(obj), ",".join(states) or "pending", _age(obj, now)]


def _secret_size(obj: Object) -> int:
    return len(obj.get("data") or {})


def _plain(obj: Object, now: float) -> Row:
    """Of kinds without a printer of their own."""
    return [_name(obj), str(obj["metadata"].get("creationTimestamp") or "0001-01-01T00:00:00Z")]


def _field(*paths: str) -> Callable[[Object, float], Row]:
    """Name, some fields as they are, age."""
    return lambda obj, now: [_name(obj), *[get(obj, path, "") for path in paths], _age(obj, now)]


def _component(obj: Object, now: float) -> Row:
    for condition in obj.get("conditions") or ():
        if condition.get("type") == "Healthy":
            said = "Healthy" if condition.get("status") == "True" else "Unhealthy"
            return [_name(obj), said, condition.get("message", ""), condition.get("error", "")]
    return [_name(obj), "Unknown", "", ""]


PRINTERS: dict[str, tuple[str, Callable[[Object, float], Row]]] = {
    "pods": (POD_COLUMNS, pod_row),
    "podtemplates": (
        "Name, Containers, Images, Pod Labels",
        lambda o, n: [
            _name(o),
            *_containers(get(o, "template.spec", {})),
            _map(get(o, "template.metadata.labels")),
        ],
    ),
    SCALE: (
        "Name, #Desired, #Available, Age",
        lambda o, n: [_name(o), get(o, "spec.replicas", 0), get(o, "status.replicas", 0), _age(o, n)],
    ),
    "deployments.apps": (
        "Name, Ready, Up-to-date, Available, Age, *Containers, *Images, *Selector",
        _deployment,
    ),
    "replicasets.apps": (
        "Name, #Desired, #Current, #Ready, Age, *Containers, *Images, *Selector",
        _replica_set,
    ),
    "replicationcontrollers": (
        "Name, #Desired, #Current, #Ready, Age, *Containers, *Images, *Selector",
        _replica_set,
    ),
    "statefulsets.apps": ("Name, Ready, Age, *Containers, *Images", _stateful_set),
    "daemonsets.apps": (
        "Name, #Desired, #Current, #Ready, #Up-to-date, #Available, Node Selector, Age, *Containers, *Images, *Selector",
        _daemon_set,
    ),
    "jobs.batch": ("Name, Status, Completions, Duration, Age, *Containers, *Images, *Selector", _job),
    "cronjobs.batch": (
        "Name, Schedule, Timezone, ?Suspend, #Active, Last Schedule, Age, *Containers, *Images, *Selector",
        _cron_job,
    ),
    "horizontalpodautoscalers.autoscaling": (
        "Name, Reference, Targets, MinPods, MaxPods, Replicas, Age",
        _hpa,
    ),
    "poddisruptionbudgets.policy": ("Name, Min Available, Max Unavailable, #Allowed Disruptions, Age", _pdb),
    "services": ("Name, Type, Cluster-IP, External-IP, Port(s), Age, *Selector", _service),
    "endpoints": ("Name, Endpoints, Age", _endpoints),
    "endpointslices.discovery.k8s.io": ("Name, AddressType, Ports, Endpoints, Age", _endpoint_slice),
    "ingresses.networking.k8s.io": ("Name, Class, Hosts, Address, Ports, Age", _ingress),
    "ingressclasses.networking.k8s.io": ("Name, Controller, Parameters, Age", _ingress_class),
    "networkpolicies.networking.k8s.io": (
        "Name, Pod-Selector, Age",
        lambda o, n: [_name(o), format_object(get(o, "spec.podSelector", {})), _age(o, n)],
    ),
    "servicecidrs.networking.k8s.io": (
        "Name, CIDRs, Age",
        lambda o, n: [_name(o), _joined(get(o, "spec.cidrs")), _age(o, n)],
    ),
    "ipaddresses.networking.k8s.io": ("Name, ParentRef", _ip_address),
    "namespaces": ("Name, Status, Age", _field("status.phase")),
    "nodes": (
        "Name, Status, Roles, Age, Version, *Internal-IP, *External-IP, *OS-Image, *Kernel-Version, *Container-Runtime",
        _node,
    ),
    "persistentvolumes": (
        "Name, Capacity, Access Modes, Reclaim Policy, Status, Claim, StorageClass, VolumeAttributesClass, Reason, "
        "Age, *VolumeMode",
        _volume,
    ),
    "persistentvolumeclaims": (
        "Name, Status, Volume, Capacity, Access Modes, StorageClass, VolumeAttributesClass, Age, *VolumeMode",
        _claim,
    ),
    "storageclasses.storage.k8s.io": (
        "Name, Provisioner, ReclaimPolicy, VolumeBindingMode, AllowVolumeExpansion, Age",
        lambda o, n: [
            _class_name(o, "storageclass", "storageclass.beta"),
            o.get("provisioner") or "",
            o.get("reclaimPolicy") or "Delete",
            o.get("volumeBindingMode") or "Immediate",
            bool(o.get("allowVolumeExpansion")),
            _age(o, n),
        ],
    ),
    "volumeattributesclasses.storage.k8s.io": (
        "Name, DriverName, Age",
        lambda o, n: [
            _class_name(o, "volumeattributesclass.alpha"),
            o.get("driverName") or "",
            _age(o, n),
        ],
    ),
    "csidrivers.storage.k8s.io": (
        "Name, ?AttachRequired, ?PodInfoOnMount, ?StorageCapacity, TokenRequests, ?RequiresRepublish, Modes, Age",
        _csi_driver,
    ),
    "csinodes.storage.k8s.io": (
        "Name, #Drivers, Age",
        lambda o, n: [_name(o), len(get(o, "spec.drivers", []) or []), _age(o, n)],
    ),
    "csistoragecapacities.storage.k8s.io": ("Name, Created At", _plain),
    "volumeattachments.storage.k8s.io": (
        "Name, Attacher, PV, Node, ?Attached, Age",
        lambda o, n: [
            _name(o),
            get(o, "spec.attacher", ""),
            get(o, "spec.source.persistentVolumeName", ""),
            get(o, "spec.nodeName", ""),
            bool(get(o, "status.attached", False)),
            _age(o, n),
        ],
    ),
    "configmaps": (
        "Name, Data, Age",
        lambda o, n: [_name(o), len(o.get("data") or {}) + len(o.get("binaryData") or {}), _age(o, n)],
    ),
    "secrets": (
        "Name, Type, Data, Age",
        lambda o, n: [_name(o), o.get("type") or "", _secret_size(o), _age(o, n)],
    ),
    "resourcequotas": ("Name, Request, Limit, Age", _quota),
    "limitranges": ("Name, Created At", _plain),
    "roles.rbac.authorization.k8s.io": ("Name, Created At", _plain),
    "clusterroles.rbac.authorization.k8s.io": ("Name, Created At", _plain),
    "rolebindings.rbac.authorization.k8s.io": (
        "Name, Role, Age, *Users, *Groups, *ServiceAccounts",
        _binding,
    ),
    "clusterrolebindings.rbac.authorization.k8s.io": (
        "Name, Role, Age, *Users, *Groups, *ServiceAccounts",
        _binding,
    ),
    "events": (
        "Last Seen, Type, Reason, Object, *Subobject, *Source, Message, *First Seen, *Count, *Name",
        _event,
    ),
    "controllerrevisions.apps": ("Name, Controller, Revision, Age", _revision),
    "leases.coordination.k8s.io": ("Name, Holder, Age", _field("spec.holderIdentity")),
    "certificatesigningrequests.certificates.k8s.io": (
        "Name, Age, SignerName, Requestor, RequestedDuration, Condition",
        _csr,
    ),
    "priorityclasses.scheduling.k8s.io": (
        "Name, #Value, ?Global-Default, Age, PreemptionPolicy",
        lambda o, n: [
            _name(o),
            o.get("value") or 0,
            bool(o.get("globalDefault")),
            _age(o, n),
            o.get("preemptionPolicy") or "",
        ],
    ),
    "runtimeclasses.node.k8s.io": ("Name, Handler, Age", _field("handler")),
    "flowschemas.flowcontrol.apiserver.k8s.io": (
        "Name, PriorityLevel, MatchingPrecedence, DistinguisherMethod, Age, MissingPL",
        _flow_schema,
    ),
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": (
        "Name, Type, NominalConcurrencyShares, Queues, HandSize, QueueLengthLimit, Age",
        _priority_level,
    ),
    "validatingwebhookconfigurations.admissionregistration.k8s.io": (
        "Name, #Webhooks, Age",
        lambda o, n: [_name(o), len(o.get("webhooks") or ()), _age(o, n)],
    ),
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": (
        "Name, #Webhooks, Age",
        lambda o, n: [_name(o), len(o.get("webhooks") or ()), _age(o, n)],
    ),
    "validatingadmissionpolicies.admissionregistration.k8s.io": (
        "Name, #Validations, ParamKind, Age",
        _policy("validations"),
    ),
    "validatingadmissionpolicybindings.admissionregistration.k8s.io": (
        "Name, PolicyName, ParamRef, Age",
        _policy_binding,
    ),
    "mutatingadmissionpolicies.admissionregistration.k8s.io": (
        "Name, #Mutations, ParamKind, Age",
        _policy("mutations"),
    ),
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io": (
        "Name, PolicyName, ParamRef, Age",
        _policy_binding,
    ),
    "resourceclaims.resource.k8s.io": ("Name, State, Age", _claim_state),
    "resourceslices.resource.k8s.io": (
        "Name, Node, Driver, Pool, Age",
        _field("spec.nodeName", "spec.driver", "spec.pool.name"),
    ),
    "componentstatuses": ("Name, Status, Message, Error", _component),
    "apiservices.apiregistration.k8s.io": ("Name, Service, Available, Age", _api_service),
    "customresourcedefinitions.apiextensions.k8s.io": (
        "Name, Created At",
        _plain,
    ),
}
PRINTERS["events.events.k8s.io"] = PRINTERS["events"]


def _class_name(obj: Object, *prefixes: str) -> str:
    """A class's name, and whether it is the default one."""
    annotations = obj["metadata"].get("annotations") or {}
    default = any(annotations.get(f"{of}.kubernetes.io/is-default-class") == "true" for of in prefixes)
    return _name(obj) + (" (default)" if default else "")


def in_order(kind: Kind, items: list[Object]) -> list[Object]:
    """The objects of a list in the order of its rows."""
    if kind.resource != "flowschemas.flowcontrol.apiserver.k8s.io":
        return items
    return sorted(items, key=lambda o: (get(o, "spec.matchingPrecedence", 0), _name(o)))


__all__ = ["PRINTERS", "columns", "in_order", "row", "row_conditions"]
